"""The network: architecture, augmentation, batch-norm statistics, training callbacks, export."""
