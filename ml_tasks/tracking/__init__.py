"""MLflow: runs and releases noted where every model team looks; never a condition of a stage."""
