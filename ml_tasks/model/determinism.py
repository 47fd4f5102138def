"""The same bits from the same seed: switched on before anything is computed."""

from __future__ import annotations

import logging
from typing import Literal

from ml_tasks.model.backend import keras, usable_gpus

log = logging.getLogger(__name__)


def make_deterministic(wanted: Literal["auto"] | bool) -> bool:
    """Lets only deterministic kernels run from here on; gives whether it does. It has no way back.

    `auto` is yes on a CPU and no on a GPU, where it costs speed and XLA.
    """
    on_gpu = usable_gpus() > 0
    chosen = not on_gpu if wanted == "auto" else wanted
    if chosen and keras.config.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif chosen and on_gpu:  # JAX on a CPU is deterministic as it is
        log.warning(
            "training.deterministic has no switch for %s on a GPU (for JAX set "
            "XLA_FLAGS=--xla_gpu_deterministic_ops=true): trainings may differ in the last bits",
            keras.config.backend(),
        )
        return False
    return chosen
