"""In which precision the network is computed, whether it is compiled, and float32 to ship."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ml_tasks.config_training import TrainingConfig
from ml_tasks.model.backend import keras
from ml_tasks.model.device import Devices

log = logging.getLogger(__name__)

MIXED = "mixed_bfloat16"
_BFLOAT16_SINCE = (8, 0)  # compute capability of NVIDIA's Ampere (2020): before, it is emulated


def precision_policy(training: TrainingConfig, devices: Devices) -> str:
    """`float32`, or MIXED: the weights stay float32, the arithmetic is bfloat16.

    bfloat16 and not float16: it reaches as far as float32, so that no loss needs scaling, none
    overflows, and a checkpoint holds no scale. `auto` takes it on a GPU that is built for it.
    """
    if training.precision == "float32":
        return "float32"
    if training.precision == "mixed":
        return MIXED
    gpu = devices.gpu
    return MIXED if gpu and gpu.compute_capability >= _BFLOAT16_SINCE else "float32"


def compiled(training: TrainingConfig, devices: Devices, deterministic: bool) -> bool:
    """Whether Keras compiles the training step (`jit_compile`).

    JAX is always compiled: without, it runs operation by operation. PyTorch never is. TensorFlow
    by XLA: `auto` on a GPU only. TensorFlow's deterministic kernels rule XLA out.
    """
    if devices.backend != "tensorflow":
        return devices.backend == "jax"
    if deterministic:
        if training.xla == "on":
            log.warning("training.xla: off, since training is deterministic; XLA does not do both")
        return False
    return training.xla == "on" or (training.xla == "auto" and devices.usable > 0)


@dataclass(frozen=True)
class Arithmetic:
    """How a training computes; `parts` batches make one update of the weights."""

    policy: str = "float32"
    compiled: bool = False
    parts: int = 1


PLAIN = Arithmetic()


@contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """Layers that are built in the block compute by this Keras policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def in_float32(network: keras.Model) -> keras.Model:
    """The same network computing in float32; `network` itself if it does so already.

    What is saved and exported is float32, whatever it was trained in.
    """
    if all(layer.compute_dtype == layer.variable_dtype == "float32" for layer in network.layers):
        return network

    def as_float32(layer: keras.layers.Layer) -> keras.layers.Layer:
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    same = keras.models.clone_model(network, clone_function=as_float32)
    same.set_weights(network.get_weights())
    return same
