"""One picture, the model alone: ONNX Runtime against TensorFlow and OpenVINO, a process each."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from benchmarks.services import PEERS
from benchmarks.table import Row
from benchmarks.timing import Seconds, orders, ratio
from benchmarks.worker import Worker

COMPILED_GOAL, PREDICT_GOAL = 0.62, 0.2
_PAUSE = 0.03  # seconds before a turn: runtimes' threads spin for a while after a call
_OURS, _INT8 = "ONNX Runtime", "ONNX Runtime, int8"
_TENSORFLOW = ("TensorFlow, compiled", "model.predict")
_OPENVINO = ("OpenVINO", "OpenVINO, bf16")


def rows(models: Path, threads: int, rounds: int, calls: int) -> list[Row]:
    """Every runtime gets `calls` pictures in each round; its median counts."""
    seconds = _measured(models, threads, rounds, calls)
    shown = {name: f"{1000 * float(np.median(each)):.1f} ms" for name, each in seconds.items()}

    def row(name: str, other: str, goal: float | None) -> Row:
        figure = ratio(seconds[name], seconds[other])
        return Row(
            f"One picture, model alone: {name} / {other}",
            shown[name],
            shown[other],
            figure,
            f"at most {goal}" if goal else "",
            figure.median <= goal if goal else None,
        )

    return [
        row(_OURS, "TensorFlow, compiled", COMPILED_GOAL),
        row(_OURS, "model.predict", PREDICT_GOAL),
        row(_INT8, _OURS, None),
        *(row(_OURS, name, None) for name in _OPENVINO if name in seconds),
    ]


def _measured(models: Path, threads: int, rounds: int, calls: int) -> dict[str, Seconds]:
    """Median seconds of a picture in each round (rounds,); the first round warms up."""
    own, peers = Path(sys.executable), PEERS / "bin" / "python"
    pythons = dict.fromkeys((_OURS, _INT8, *_TENSORFLOW), own)
    if peers.exists():
        pythons |= dict.fromkeys(_known_precisions(), peers)
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(closing(_worker(python, name, models, threads)))
            for name, python in pythons.items()
        }
        found: dict[str, list[float]] = {name: [] for name in workers}
        for number, order in enumerate(orders(workers, rounds + 1)):
            for name in order:
                median = float(np.median(workers[name].ask("calls", calls, _PAUSE)))
                if number:
                    found[name].append(median)
    return {name: np.asarray(each) for name, each in found.items()}


def _worker(python: Path, name: str, models: Path, threads: int) -> Worker:
    return Worker(python, "benchmarks.runtimes", (name, str(models), str(threads)))


def _known_precisions() -> tuple[str, ...]:
    """Of OpenVINO's, those that this CPU computes itself."""
    flags = Path("/proc/cpuinfo").read_text()
    fast = "avx512_bf16" in flags or "amx_bf16" in flags
    return _OPENVINO if fast else _OPENVINO[:1]
