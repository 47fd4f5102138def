"""The ONNX model and its image spec: bytes or cleaned pixels in, probabilities and maps out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ml_tasks.errors import ReleaseError
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.onnx_file import refuse_external_data

_CHUNK = 32  # pictures at a time: keeps the memory of a large batch flat


@dataclass(frozen=True)
class Scorer:
    """One loaded ONNX model; safe to share between threads."""

    session: onnxruntime.InferenceSession
    spec: ImageSpec

    @classmethod
    def load(cls, onnx_path: Path, spec: ImageSpec, threads: int | None = None) -> Scorer:
        """Loads a model whose input is float32 (N,side,side,3), 0-255.

        Its outputs are the probability (N,1) and the class activation map (N,h,w), in this order.
        `threads` work on one picture, by default one on each processor; the answers are the same.

        Raises:
            ReleaseError: the file is missing or no ONNX model, keeps tensors in another file, or
                has other inputs or outputs.
        """
        try:
            refuse_external_data(onnx_path.read_bytes(), onnx_path)
        except OSError as error:
            raise ReleaseError(
                f"{onnx_path} cannot be loaded as an ONNX model: {error.strerror}"
            ) from error
        try:
            # By its path: of bytes handed over, ONNX Runtime keeps another copy of the whole model.
            session = onnxruntime.InferenceSession(
                str(onnx_path), _session_options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises many kinds of its own
            raise ReleaseError(f"{onnx_path} cannot be loaded as an ONNX model: {error}") from error
        _check_signature(session, spec, onnx_path)
        return cls(session, spec)

    def probability(self, data: bytes) -> float:
        """The network's own probability of the positive class for one image file's bytes, 0-1.

        It is not calibrated yet: `Calibration.apply` makes it the one that is told.

        Raises:
            ImageRejected: the file is no usable image.
            ReleaseError: the model gives no number.
        """
        return float(self.probabilities(preprocess(data, self.spec)[np.newaxis])[0])

    def probabilities(self, batch: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probabilities (N,) of the positive class for cleaned grey pixels (N,side,side) uint8.

        Raises:
            ValueError: another shape or dtype.
            ReleaseError: the model gives a value that is no probability.
        """
        return _probabilities(part for (part,) in self._answers(batch, (0,)))

    def explained(
        self, batch: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """`probabilities` and `activations` of the same pictures, from one run of the model.

        Raises:
            ValueError: another shape or dtype.
            ReleaseError: the model gives a value that is no probability.
        """
        parts = list(self._answers(batch, (0, 1)))
        return _probabilities(part for part, _ in parts), self._maps(part for _, part in parts)

    def activations(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class activation maps (N,h,w) of cleaned grey pixels (N,side,side) uint8.

        In log odds: above 0 a place speaks for the positive class, below 0 against it.

        Raises:
            ValueError: another shape or dtype.
        """
        return self._maps(part for (part,) in self._answers(batch, (1,)))

    def warm_up(self) -> None:
        """Runs the model once on black: the first run takes its memory and is slow."""
        side = self.spec.side
        self.probabilities(np.zeros((1, side, side), np.uint8))

    def _maps(self, parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        _, height, width = self.session.get_outputs()[1].shape
        return np.concatenate([np.zeros((0, height, width), np.float32), *parts])

    def _answers(
        self, batch: NDArray[np.uint8], outputs: tuple[int, ...]
    ) -> Iterator[list[NDArray[np.float32]]]:
        """Some of the model's outputs, a few pictures at a time."""
        side = self.spec.side
        if batch.dtype != np.uint8 or batch.shape[1:] != (side, side):
            raise ValueError(
                f"batch is {batch.dtype} {batch.shape}; it must be uint8 (N,{side},{side})"
            )
        known = self.session.get_outputs()
        names = [known[output].name for output in outputs]
        for at in range(0, len(batch), _CHUNK):
            grey = batch[at : at + _CHUNK, ..., np.newaxis].astype(np.float32)
            images = {self.session.get_inputs()[0].name: np.repeat(grey, 3, axis=3)}
            yield [np.asarray(answer) for answer in self.session.run(names, images)]


def _probabilities(parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float64]:
    values = np.concatenate([np.zeros(0), *(part.ravel() for part in parts)])
    if not (np.isfinite(values).all() and ((values >= 0) & (values <= 1)).all()):
        raise ReleaseError(
            f"the model answers {values.tolist()}, which are no probabilities; train it again"
        )
    return values


def _session_options(threads: int | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # Counted here: ONNX Runtime's own count ignores what this process is allowed to use.
    options.intra_op_num_threads = threads or processors()
    options.log_severity_level = 3
    return options


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def _check_signature(session: onnxruntime.InferenceSession, spec: ImageSpec, path: Path) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    expected = [spec.side, spec.side, 3]
    fits = (
        (len(inputs), len(outputs)) == (1, 2)
        and all(value.type == "tensor(float)" for value in (*inputs, *outputs))
        and list(inputs[0].shape[1:]) == expected
        and not isinstance(inputs[0].shape[0], int)
        and list(outputs[0].shape[1:]) == [1]
        and [type(length) for length in outputs[1].shape[1:]] == [int, int]
    )
    if not fits:
        shown = [(value.name, value.type, value.shape) for value in [*inputs, *outputs]]
        raise ReleaseError(
            f"{path} takes and gives {shown}; expected one float input (N,{expected[0]},"
            f"{expected[1]},3) with free N and two float outputs, the probability (N,1) and the "
            "activation map (N,h,w); run evaluate again"
        )
