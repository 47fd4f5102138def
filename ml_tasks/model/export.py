"""The trained network as ONNX, the form that is judged and that ships."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

from ml_tasks.errors import TrainingError
from ml_tasks.model.backend import keras


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
