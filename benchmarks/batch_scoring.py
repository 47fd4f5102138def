"""A folder scored by the real network's size: our batches against a plain loop, and shards."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.served_release import ServedRelease, make_release
from benchmarks.table import PROJECT, Effort, Page, Row
from benchmarks.timing import Seconds, in_turn, ratio
from ml_tasks.batch_scoring import assemble_batch, plan_batch, score_folder
from ml_tasks.config import Config, PathsConfig, save_config
from ml_tasks.config_operation import ScoringConfig
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.inference.predictor import Predictor
from ml_tasks.release.ledger import Move, note_move
from tests.release.registry_server import holding

_DIGEST = "sha256:" + "1" * 64
_ROUNDS = 3  # at least; a batch takes seconds
_SHARD = """
import sys
from pathlib import Path
from ml_tasks.batch_scoring import score_shard
from ml_tasks.config import load_config
score_shard(load_config(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3]))
"""
_INTRODUCTION = """# Scoring a folder

`python -m benchmarks --only batch_scoring --write` writes this page. A folder of phantoms (512×416
pixels, PNG) is scored by DenseNet-121 with random weights, from the listing to both tables and
page. The plain loop reads, cleans and scores one film after another by the same predictor, each
with all cores, and keeps nothing. Two shards are processes of their own, as two tasks; their start
counts.
"""
BATCHES = Page(
    PROJECT / "docs" / "benchmarks-batch-scoring.md", _INTRODUCTION, ("onnxruntime", "pyarrow")
)


@dataclass(frozen=True)
class _Folder:
    """What is scored, by what, and the numbers that batches have not had yet."""

    config: Config
    file: Path  # of the settings
    films: Path
    bundle: Path
    numbers: itertools.count[int]


def measured(effort: Effort) -> list[Row]:
    """The rows of the page."""
    with tempfile.TemporaryDirectory(prefix="mammo-benchmarks-") as name:
        root = Path(name)
        release = make_release(root)
        with holding(_DIGEST) as registry:
            folder = _prepared(root, release, effort.files, registry.address)
            contenders: dict[str, Callable[[], object]] = {
                "ours": lambda: _one_process(folder),
                "shards": lambda: _two_shards(folder),
                "loop": lambda: _plain_loop(folder),
            }
            seconds = in_turn(contenders, max(_ROUNDS, effort.rounds // 6))
        return _rows(seconds, effort.files)


def _rows(seconds: dict[str, Seconds], films: int) -> list[Row]:
    def speed(name: str) -> str:
        return f"{films / float(np.median(seconds[name])):.1f} images/s"

    what = f"{films} films"
    faster = ratio(seconds["loop"], seconds["ours"])
    return [
        Row(
            f"{what}, one task, against a plain loop",
            speed("ours"),
            speed("loop"),
            faster,
            "not slower",
            faster.high >= 1,
        ),
        Row(
            f"{what}, two shards side by side, against one task",
            speed("shards"),
            speed("ours"),
            ratio(seconds["ours"], seconds["shards"]),
        ),
    ]


def _prepared(root: Path, release: ServedRelease, films: int, registry: str) -> _Folder:
    paths = {name: root / name for name in PathsConfig.model_fields}
    config = Config(
        paths=PathsConfig(**paths | {"releases": release.bundle.parents[1]}),
        release=ReleaseConfig(registry=registry, image="toy"),
        scoring=ScoringConfig(chunk=max(1, films // 8), shards=2),
    )
    version = release.bundle.parent.name
    move = Move(
        version=version,
        digest=_DIGEST,
        reference=f"toy:{version}",
        moved_at="2026-01-02T03:04:05+00:00",
        digest_before=None,
    )
    note_move(config.paths.releases, move)
    save_config(config, root / "config.yaml")
    (root / "films").mkdir()
    for number, data in zip(range(films), itertools.cycle(release.films), strict=False):
        (root / "films" / f"{number:06}.png").write_bytes(data)
    return _Folder(config, root / "config.yaml", root / "films", release.bundle, itertools.count())


def _one_process(folder: _Folder) -> None:
    score_folder(folder.config, folder.films, f"b{next(folder.numbers)}")


def _two_shards(folder: _Folder) -> None:
    name = f"b{next(folder.numbers)}"
    plan = plan_batch(folder.config, folder.films, name)
    words = [sys.executable, "-c", _SHARD, str(folder.file), name]
    started = [subprocess.Popen([*words, str(shard)]) for shard in range(plan.shards)]
    statuses = [process.wait() for process in started]
    if any(statuses):
        raise RuntimeError("a shard failed; its log says why")
    assemble_batch(folder.config, name)


def _plain_loop(folder: _Folder) -> None:
    predictor = Predictor.load(folder.bundle, threads=len(os.sched_getaffinity(0)))
    for film in sorted(folder.films.iterdir()):
        predictor.judge(film.read_bytes())
