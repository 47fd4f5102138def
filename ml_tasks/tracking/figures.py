"""The figures of a run as MLflow's metrics: epoch by epoch, and those of the held-out patients."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_tasks.errors import StageOrderError
from ml_tasks.records import EvaluationRecord, Split, TrainRecord
from ml_tasks.run_paths import RunPaths

log = logging.getLogger(__name__)

Content = dict[str, Any]
_SPLITS = {Split.VAL: "validation", Split.TEST: "test"}


@dataclass(frozen=True)
class Figure:
    """One number; `step` is the epoch, `when` milliseconds since 1970."""

    name: str
    value: float
    step: int
    when: int

    @property
    def told(self) -> tuple[str, float, int]:
        """What it says, whenever it was."""
        return (self.name, self.value, self.step)


def figures_of(run: RunPaths) -> list[Figure]:
    """Every finite figure of the stages that are complete."""
    found: list[Figure] = []
    if run.has(TrainRecord):
        found += _training(run)
    if run.has(EvaluationRecord):
        found += _evaluation(run)
    return [figure for figure in found if math.isfinite(figure.value)]


def _training(run: RunPaths) -> Iterator[Figure]:
    record = run.load(TrainRecord)
    path = run.stage(TrainRecord.stage) / "history.json"
    when = _time(path)
    for epoch in json.loads(path.read_text()) if path.is_file() else ():
        step = int(epoch["epoch"])
        for name, value in epoch.items():
            if name != "epoch" and isinstance(value, int | float):
                yield Figure(f"training/{name}", float(value), step, when)
    for name in ("epochs", "best_epoch", "seconds"):
        yield Figure(f"training_whole/{name}", float(getattr(record, name)), 0, when)


def _evaluation(run: RunPaths) -> Iterator[Figure]:
    """None of a metrics.json that is not what evaluate wrote: the gate refuses it, too."""
    record = run.load(EvaluationRecord)
    try:
        path = run.unaltered(record, "metrics.json", record.metrics_sha256)
    except StageOrderError as error:
        log.warning("no figures of the evaluation are noted: %s", error)
        return
    when = _time(path)
    for name, value in _judged(path):
        if value is not None:  # MLflow has no word for a figure that cannot be computed
            yield Figure(name, value, 0, when)


def _judged(path: Path) -> Iterator[tuple[str, float | None]]:
    """From metrics.json as JSON: its record would load SciPy and scikit-learn, another 2 s."""
    content: Content = json.loads(path.read_text())
    levels = content["levels"]
    yield "test/threshold", content["threshold"]
    yield "test/temperature", content["calibration"]["temperature"]
    for split, where in _SPLITS.items():
        for level, found in levels.get(split.value, {}).items():
            patients = level == "patient"
            yield from _estimates(f"{where}_{level}s", found["figures"], patients)
            if patients:
                yield from _estimates(
                    f"{where}_{level}s", {"auc_delong": found["auc_delong"]}, True
                )
    comparison = content.get("comparison") or {}  # without a difference: nothing was in production
    yield from _estimates("less_production", comparison.get("difference", {}), True)


def _estimates(
    where: str, figures: Mapping[str, Content], intervals: bool
) -> Iterator[tuple[str, float | None]]:
    for name, estimate in figures.items():
        yield f"{where}/{name}", estimate["value"]
        if intervals:
            yield f"{where}/{name}_low", estimate["low"]
            yield f"{where}/{name}_high", estimate["high"]


def _time(path: Path) -> int:
    return int(path.stat().st_mtime * 1000) if path.exists() else 0
