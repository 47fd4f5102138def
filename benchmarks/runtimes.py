"""Runtimes that answer one picture: `python -m benchmarks.runtimes KIND BUNDLE THREADS`.

Each runs in a process of its own and gets one picture already cleaned, so that the model alone is
measured.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.worker import answer_commands

Picture = NDArray[np.float32]
Call = Callable[[Picture], object]


def onnx_runtime(model: Path, threads: int) -> Call:
    """ONNX Runtime with the service's own options."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda picture: session.run(["probability"], {name: picture})


def tensorflow_function(model: Path, threads: int) -> Call:
    """A call that TensorFlow has compiled."""
    import tensorflow

    network = _keras(model, threads)
    compiled = tensorflow.function(lambda picture: network(picture, training=False))
    return lambda picture: np.asarray(compiled(tensorflow.constant(picture)))


def keras_predict(model: Path, threads: int) -> Call:
    """What guides show."""
    network = _keras(model, threads)
    return lambda picture: network.predict(picture, verbose=0)


def openvino(model: Path, threads: int, precision: str = "f32") -> Call:
    """OpenVINO, computing in float32 or in bfloat16 where the CPU has it."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(str(model), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda picture: request.infer([picture])


def _keras(model: Path, threads: int):  # type: ignore[no-untyped-def]
    import tensorflow

    from ml_tasks.model.backend import keras

    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    return keras.models.load_model(model, compile=False)


KINDS: dict[str, tuple[str, Callable[[Path, int], Call]]] = {
    "ONNX Runtime": ("model.onnx", onnx_runtime),
    "ONNX Runtime, int8": ("int8.onnx", onnx_runtime),
    "TensorFlow, compiled": ("model.h5", tensorflow_function),
    "model.predict": ("model.h5", keras_predict),
    "OpenVINO": ("model.onnx", openvino),
    "OpenVINO, bf16": ("model.onnx", lambda model, threads: openvino(model, threads, "bf16")),
}


def main() -> None:
    """Answers `calls`: the seconds that each of some calls took, after a pause."""
    kind, folder, threads = sys.argv[1:]
    file, make = KINDS[kind]
    call = make(Path(folder) / file, int(threads))
    picture = np.random.default_rng(1).uniform(0, 255, (1, 128, 128, 3)).astype(np.float32)

    def timed(count: int, pause: float) -> list[float]:
        time.sleep(pause)
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            call(picture)
            seconds.append(time.perf_counter() - start)
        return seconds

    answer_commands({"calls": timed})


if __name__ == "__main__":
    main()
