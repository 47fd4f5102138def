"""What the service sees, held against what the model was trained on."""
