"""A model file is one file: tensors kept elsewhere are refused by name, wherever they hide."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ml_tasks.errors import ReleaseError
from ml_tasks.inference.onnx_file import refuse_external_data
from tests.toy_run import write_onnx

PATH = Path("model.onnx")


def outside(name: str = "weights") -> TensorProto:
    """A tensor that names a file in which it is kept."""
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def toy(tmp_path: Path) -> onnx.ModelProto:
    write_onnx(tmp_path / "toy.onnx")
    return onnx.load(str(tmp_path / "toy.onnx"))


def hidden(tmp_path: Path, where: str) -> bytes:
    """A model with such a tensor in one of the places that ONNX knows."""
    model, tensor = toy(tmp_path), outside()
    graph = model.graph
    if where == "initializer":
        graph.initializer.append(tensor)
    elif where == "sparse initializer":
        graph.sparse_initializer.add().values.CopyFrom(tensor)
    elif where == "attribute":
        graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))
    elif where == "branch":
        inner = helper.make_graph([], "inner", [], [], [tensor])
        graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner))
    elif where == "function":
        model.functions.add().node.append(helper.make_node("Constant", [], ["c"], value=tensor))
    elif where == "training":
        model.training_info.add().initialization.initializer.append(tensor)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "where",
    ["initializer", "sparse initializer", "attribute", "branch", "function", "training"],
)
def test_a_tensor_kept_elsewhere_is_found(tmp_path: Path, where: str) -> None:
    with pytest.raises(ReleaseError, match="keeps the tensor 'weights' as external data"):
        refuse_external_data(hidden(tmp_path, where), PATH)


def test_a_model_in_one_file_passes(tmp_path: Path) -> None:
    refuse_external_data(toy(tmp_path).SerializeToString(), PATH)


def test_what_is_cut_off_or_no_model_is_refused(tmp_path: Path) -> None:
    data = toy(tmp_path).SerializeToString()
    for wrong in (data[:-1], data[: len(data) // 2], b"\xff" * 40, b"no model", b"\x3a\x7f"):
        with pytest.raises(ReleaseError, match="cannot be loaded as an ONNX model"):
            refuse_external_data(wrong, PATH)


def test_damaged_models_raise_nothing_else(tmp_path: Path) -> None:
    data, random = bytearray(toy(tmp_path).SerializeToString()), np.random.default_rng(1)
    for _ in range(2000):
        damaged = data.copy()
        for place in random.integers(len(data), size=3):
            damaged[place] = random.integers(256)
        with contextlib.suppress(ReleaseError):
            refuse_external_data(bytes(damaged), PATH)
