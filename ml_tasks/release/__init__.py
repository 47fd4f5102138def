"""The model bundle, the image that carries it, and the registry that serves it."""
