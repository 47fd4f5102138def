"""The inference service: an HTTP face on the one predictor, and nothing else."""
