"""Keras without its start-up noise; import `keras` from here, so that the settings come first."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's C++ lines before main
logging.getLogger("absl").setLevel(logging.ERROR)


@contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Drops what native libraries write straight to file descriptor 2; Python errors still rise."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with quiet_native_stderr():  # the level above does not reach what is logged while loading
    import keras

keras.config.disable_interactive_logging()  # no progress bars: they fill task logs

__all__ = ["describe_device", "keras", "quiet_native_stderr"]


def describe_device() -> str:
    """The device that trains, in words."""
    with quiet_native_stderr():
        gpus = keras.distribution.list_devices("gpu")
    if gpus:
        return f"GPU ({len(gpus)} visible, {gpus[0]} used)"
    return f"CPU ({os.cpu_count()} cores; no GPU is visible)"
