"""Our own service with TensorFlow in ONNX Runtime's place: `python -m ….on_tensorflow`.

Everything else is as it ships: the same application, the same checks of the release. A compiled
call answers, which is the fastest that TensorFlow has.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow
from numpy.typing import NDArray

from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.scorer import Scorer
from ml_tasks.model.backend import keras
from ml_tasks.serving.__main__ import main


class KerasScorer(Scorer):
    """The Keras file of the release behind the scorer's own methods."""

    @classmethod
    def load(cls, onnx_path: Path, spec: ImageSpec, threads: int | None = None) -> Scorer:
        """Takes model.h5 from beside the ONNX file; TensorFlow itself chooses its threads."""
        return cls(_Session(onnx_path.with_name("model.h5")), spec)


class _Session:
    """As much of an ONNX Runtime session as the scorer asks for."""

    def __init__(self, path: Path) -> None:
        model = keras.models.load_model(path, compile=False)
        self._call = tensorflow.function(lambda images: model(images, training=False))

    def get_inputs(self) -> list[Any]:
        return [_Named("image")]

    def get_outputs(self) -> list[Any]:
        return [_Named("probability"), _Named("activation")]

    def run(self, _: object, feed: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        (images,) = feed.values()
        return [np.asarray(self._call(tensorflow.constant(images)))]


class _Named:
    def __init__(self, name: str) -> None:
        self.name = name
        self.shape = [None, 4, 4]


if __name__ == "__main__":
    Scorer.load = KerasScorer.load  # type: ignore[method-assign]
    sys.exit(main())
