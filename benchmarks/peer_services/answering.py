"""What every peer answers with: our imaging and the release's ONNX file, as plain as can be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime

from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.spec import ImageSpec


class Runtime:
    """An image file's bytes to the probability: no calibration, no checks of the release."""

    def __init__(self, bundle: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(bundle / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.name = self.session.get_inputs()[0].name
        self.spec = ImageSpec.model_validate_json((bundle / "image_spec.json").read_bytes())

    @classmethod
    def from_environment(cls) -> Runtime:
        """The release at MAMMO_RELEASE with PEER_THREADS threads for one image."""
        return cls(Path(os.environ["MAMMO_RELEASE"]), int(os.environ["PEER_THREADS"]))

    def __call__(self, data: bytes) -> dict[str, float]:
        grey = preprocess(data, self.spec)[np.newaxis, ..., np.newaxis].astype(np.float32)
        (answer,) = self.session.run(["probability"], {self.name: np.repeat(grey, 3, axis=3)})
        return {"probability": float(np.asarray(answer)[0, 0])}
