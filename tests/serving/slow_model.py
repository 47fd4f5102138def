"""A toy model whose answers are right but take their time, to fill queues with."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from ml_tasks.storage import write_bytes
from tests.toy_run import make_bundle, write_onnx

_SIDE = 1000  # one product of such matrices takes some 2,000,000,000 steps


def slow_bundle(root: Path, products: int) -> Path:
    """A sealed toy bundle whose model multiplies large matrices before it gives its answer."""

    def slow(path: Path) -> None:
        write_onnx(path)
        model = onnx.load(str(path))
        _slow_down(model.graph, products)
        onnx.checker.check_model(model)
        write_bytes(path, model.SerializeToString())

    return make_bundle(root, write_model=slow)


def _slow_down(graph: onnx.GraphProto, products: int) -> None:
    """Adds 0 times what the products give, which no optimiser may leave out, to the logit."""
    shape = helper.make_tensor("matrix_shape", TensorProto.INT64, [2], [_SIDE, _SIDE])
    one = helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0 / _SIDE])
    graph.initializer.extend([shape, helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0])])
    added = [
        helper.make_node("ConstantOfShape", ["matrix_shape"], ["matrix"], value=one),
        helper.make_node("Mul", ["matrix", "flat"], ["product_0"]),
        *(
            helper.make_node("MatMul", [f"product_{n}", "matrix"], [f"product_{n + 1}"])
            for n in range(products)
        ),
        helper.make_node("ReduceMean", [f"product_{products}"], ["work"], keepdims=0),
        helper.make_node("Mul", ["work", "nothing"], ["no_work"]),
        helper.make_node("Add", ["logit", "no_work"], ["slow_logit"]),
    ]
    for node in graph.node:
        if node.op_type == "Sigmoid":
            node.input[0] = "slow_logit"
    at = next(place for place, node in enumerate(graph.node) if node.op_type == "Sigmoid")
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes[:at], *added, *nodes[at:]])
