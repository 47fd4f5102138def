"""Keras without its start-up noise; import `keras` from here, so that the settings come first."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's C++ lines before main
# A GPU is shared: TensorFlow takes memory as it needs it, not all at once, and JAX likewise.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# CUDA then counts GPUs as NVIDIA's management library does, which says who holds them.
os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
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

__all__ = ["forget_networks", "keras", "quiet_native_stderr", "usable_gpus"]


def usable_gpus() -> int:
    """How many GPUs the backend computes on."""
    with quiet_native_stderr():
        if keras.config.backend() == "torch":  # keras.distribution does not know it
            import torch

            return int(torch.cuda.device_count())
        try:
            return len(keras.distribution.list_devices("gpu"))
        except RuntimeError:  # how JAX says that there is none
            return 0


def forget_networks() -> None:
    """Gives back the memory of networks that nobody holds any more."""
    gc.collect()
    keras.utils.clear_session()
    keras.config.disable_interactive_logging()  # which it forgets as well
