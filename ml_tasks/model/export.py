"""The trained network as files: model.h5, and ONNX, the form that is judged and that ships."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import math
import os
import shutil
import warnings
from pathlib import Path

from ml_tasks.errors import TrainingError
from ml_tasks.model.backend import keras
from ml_tasks.model.precision import in_float32

_LAYOUT_BYTES = 2 << 20  # what model.h5 holds besides the weights, generously


def save_network(network: keras.Model, path: Path) -> None:
    """Writes `network` as one HDF5 file, in float32 whatever it was trained in.

    Raises:
        OSError: no space left.
    """
    # HDF5 crashes the whole process where the disk fills up under it: room is made sure of first.
    weights = sum(4 * math.prod(weight.shape) for weight in network.weights)
    if shutil.disk_usage(path.parent).free < 1.1 * weights + _LAYOUT_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    in_float32(network).save(path)


def export_onnx(network: keras.Model, path: Path) -> None:
    """Writes `network` as one ONNX file with a free batch size.

    Raises:
        TrainingError: the exported graph has a fixed batch size.
    """
    import onnx

    logging.getLogger("tf2onnx").setLevel(logging.WARNING)

    # The exporter prints the artefact's path and warns about an old NumPy name it probes for.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        network.export(str(path), format="onnx", verbose=False)
    batch = onnx.load(str(path)).graph.input[0].type.tensor_type.shape.dim[0]
    if batch.dim_value:
        raise TrainingError(
            f"{path.name} was exported for batches of {batch.dim_value} only; "
            "check the versions of keras and tf2onnx against the lock"
        )
