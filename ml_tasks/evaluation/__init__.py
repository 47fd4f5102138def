"""How good a model is: threshold, metrics, plots."""
