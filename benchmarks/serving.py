"""The service beside its peers: one picture, over HTTP, starting, memory, sizes, a release."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks import one_image, over_http, releasing, starting
from benchmarks.over_http import Counts
from benchmarks.served_release import ServedRelease, make_release
from benchmarks.services import GUIDE, INSTALL, OURS, PEERS, peers
from benchmarks.table import PROJECT, Effort, Page, Row, not_measured

_INTRODUCTION = """# Benchmarks of the service

`python -m benchmarks --only serving --write` writes this page in about eight minutes on a quiet
machine. It needs a Docker engine, an image registry (Debian's docker-registry; `make demo` gets it)
and the peers in an environment of their own, which `make peers` makes from requirements/peers.txt.
What is missing is a row that says so, and a goal that was missed. Run it on a machine that does
nothing else.

All contenders run in turn, in an order that changes every round, each in a process of its own; the
services that are not measured are halted meanwhile (SIGSTOP), so that their idle work disturbs
nobody. A figure is the median over the rounds with its 95 % bootstrap interval; the first round
warms up. The number of rounds below is that of the model alone; two fifths as many go over HTTP, a
quarter are starts, a sixth releases. The network is DenseNet-121 with random weights: how fast it
is does not depend on what it has learned. The film is a synthetic one, 512×416 pixels, a PNG of
100 kB: a small film, so that the service's share shows.

- **One picture, model alone**: cleaned pixels in memory, batch of one. The compiled call is
  `tf.function`; OpenVINO computes for latency. What int8 does to the answers is measured by
  `python -m benchmarks.int8`; [evaluation.md](evaluation.md) tells it.
- **Over HTTP**: the film as a multipart form over a connection that is kept open, to `/v1/predict`,
  with everything that ships switched on: checks, quality warnings, calibration, the log. Beside it
  imaging and model alone, in one process without a server: with all threads for one film after the
  other, and for throughput in several ways (*films at once × threads each*), of which the best
  counts. LitServe and BentoML serve the same ONNX file with the same imaging code and do no more
  than that; each runs in two ways (*workers × threads each*). The guide's shape is FastAPI with
  `model.predict`, with our imaging.
- **The client** is one process with plain asyncio sockets and requests made beforehand; the table
  tells what it takes of one core.
- **Starting** counts from the start of the process, with the files in the system's cache. Ours on
  TensorFlow is the same service with `model.h5` and a compiled call in ONNX Runtime's place.
- **Sizes**: the engine's for the image unpacked, the registry's for it compressed. The image with
  TensorFlow is reckoned: ours, less ONNX Runtime and what only that needs, plus TensorFlow, Keras
  and all that they need, each by its installed files.
- **A retraining's release**: every weight is another one, the base's layers are in the registry.
  The smoke test between build and push is not counted.
"""
SERVING = Page(
    PROJECT / "docs" / "benchmarks-serving.md",
    _INTRODUCTION,
    ("onnxruntime", "tensorflow", "keras", "uvicorn", "litserve", "bentoml", "openvino"),
    PEERS,
)
_PEERS_MISSING = "LitServe, BentoML and OpenVINO"


def measured(effort: Effort) -> list[Row]:
    """The rows of the page."""
    with tempfile.TemporaryDirectory(prefix="mammo-benchmarks-") as name:
        folder = Path(name)
        release = make_release(folder / "release")
        cores = len(os.sched_getaffinity(0))
        found = one_image.rows(release.models, cores, effort.rounds, calls=8)
        found += over_http_rows(release, folder, effort, cores)
        found += starting.rows(release, folder, starts=max(1, effort.rounds // 4))
        found += releasing.rows(release, folder, times=max(1, effort.rounds // 6))
        return found


def over_http_rows(release: ServedRelease, folder: Path, effort: Effort, cores: int) -> list[Row]:
    """With the peers where they are installed."""
    there = (PEERS / "bin" / "python").exists()
    counts = Counts(max(2, effort.rounds * 2 // 5), max(4, effort.requests // 4), effort.requests)
    services = [OURS, *(peers(cores) if there else ()), GUIDE]
    found = over_http.rows(release, folder, services, counts)
    return found if there else [*found, not_measured(_PEERS_MISSING, f"install them: {INSTALL}")]
