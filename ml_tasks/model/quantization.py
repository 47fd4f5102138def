"""The exported network in whole numbers: ONNX Runtime's static int8, calibrated on pictures."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

MOST_PICTURES = 200  # more hardly move the ranges any further
_AT_ONCE = 8
# What carries the features of a DenseNet. Its norms stand before the convolutions they belong to,
# so half of them cannot be folded; with their scalings they stay in float32.
_QUANTISED = ("Conv",)
Pictures = NDArray[np.uint8]


def calibration_pictures(pictures: Pictures) -> Pictures:
    """At most MOST_PICTURES of a split (N,H,W) uint8, spread evenly over the whole of it."""
    count = min(len(pictures), MOST_PICTURES)
    return pictures[np.linspace(0, len(pictures) - 1, count).round().astype(int)]


def quantise(float32: Path, int8: Path, pictures: Pictures) -> None:
    """Writes the model at `float32` to `int8`, its features' weights and values quantised.

    Input, head, map and outputs stay in float32. `pictures` (N,H,W) uint8 are cleaned ones of the
    training split: they tell how far every feature reaches.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = int8.with_suffix(".prepared.onnx")
    with _quietly():
        try:
            # Folds what can be folded and tells every shape. No symbols: only N is free.
            quant_pre_process(str(float32), str(prepared), skip_symbolic_shape=True)
            model = onnx.load(str(prepared))
            quantize_static(
                str(prepared),
                str(int8),
                _Batches(model.graph.input[0].name, calibration_pictures(pictures)),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_QUANTISED),
                nodes_to_exclude=sorted(_of_one_output(model)),
                per_channel=True,
                # Seven bits of each weight: with eight, sums overflow on a CPU without VNNI, and
                # the model would answer otherwise there than it was judged.
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
        finally:
            prepared.unlink(missing_ok=True)


class _Batches:
    """Cleaned pictures as ONNX Runtime's quantiser asks for them: input by input, then None."""

    def __init__(self, name: str, pictures: Pictures) -> None:
        self._batches = _named(name, pictures)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)


def _named(name: str, pictures: Pictures) -> Iterator[dict[str, NDArray[np.float32]]]:
    for at in range(0, len(pictures), _AT_ONCE):
        grey = pictures[at : at + _AT_ONCE, ..., np.newaxis].astype(np.float32)
        yield {name: np.repeat(grey, 3, axis=-1)}


def _of_one_output(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes that serve one output alone: the head and the activation map.

    They are no work, and what they lose shows in the answer undiluted.
    """
    maker = {name: node for node in model.graph.node for name in node.output}

    def behind(output: str) -> set[str]:
        found: set[str] = set()
        open_names = [output]
        while open_names:
            node = maker.get(open_names.pop())
            if node is not None and node.name not in found:
                found.add(node.name)
                open_names.extend(node.input)
        return found

    first, second = (behind(output.name) for output in model.graph.output)
    return first ^ second


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The quantiser warns of settings that were chosen here on purpose."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
