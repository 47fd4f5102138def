"""Bytes in, clean pixels out: the one way an image is prepared, in training and in the service."""
