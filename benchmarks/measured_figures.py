"""The figures that the benchmarks' pages and JSON files hold, by name: nothing is typed anew."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.many_rows import NEAR_DUPLICATES
from benchmarks.table import PROJECT

DOCS = PROJECT / "docs"
_CELLS = re.compile(r"^\| (.*) \|$", re.MULTILINE)
_NUMBER = re.compile(r"[\d,]+(?:\.\d+)?")


@dataclass(frozen=True)
class Figure:
    """A number and the page that has it."""

    value: float
    page: str


@dataclass(frozen=True)
class Figures:
    """What sizing starts from; seconds are of one core unless the name says otherwise."""

    clean: dict[str, Figure]  # seconds for one film of 13.6 megapixels, by format
    served: Figure  # small films a second by the service
    served_cores: int
    trained: Figure  # pictures a second
    trained_cores: int
    evaluated: Figure  # seconds for 10,000 test images beyond inference
    overhead: Figure  # seconds of Airflow in a whole retraining
    released: Figure  # seconds to build and push
    release_megabytes: Figure
    rows: tuple[dict[str, Any], ...]  # docs/benchmarks-rows.json; empty: not measured yet
    stack: dict[str, Any] | None  # docs/benchmarks-scale.json; None: not measured yet


FORMATS = {
    "JPEG": "JPEG: ours / fastest",
    "DICOM, uncompressed": "DICOM, uncompressed: ours / fastest",
    "DICOM, JPEG lossless": "DICOM, JPEG lossless: ours / fastest",
    "DICOM, JPEG 2000": "DICOM, JPEG 2000: ours / fastest",
}


def read_figures(docs: Path = DOCS) -> Figures:
    """Everything that stands in the pages.

    Raises:
        ValueError: a page has no such row any more; says which.
    """
    pipeline, serving = docs / "benchmarks.md", docs / "benchmarks-serving.md"
    clean = {
        name: Figure(_cell(pipeline, begin, 1).value / 1000, pipeline.name)
        for name, begin in FORMATS.items()
    }
    return Figures(
        clean=clean,
        served=_cell(serving, "16 clients: images a second of the service", 1),
        served_cores=_cores(serving),
        trained=_cell(pipeline, "CPU, images a second: fit", 1),
        trained_cores=_cores(pipeline),
        evaluated=_cell(pipeline, "Evaluation of 10,000 test images", 1),
        overhead=_cell(docs / "benchmarks-orchestration.md", "A run's overhead", 1),
        released=_cell(serving, "A retraining's release", 3),
        release_megabytes=_cell(serving, "Bytes uploaded for it", 1),
        rows=tuple(_json(docs / "benchmarks-rows.json") or ()),
        stack=_json(docs / "benchmarks-scale.json"),
    )


def line_through(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope and offset of the line through two points or more, by least squares."""
    across, up = zip(*points, strict=True)
    slope, offset = np.polyfit(np.asarray(across, float), np.asarray(up, float), 1)
    return float(slope), float(offset)


def near_duplicate_seconds(rows: Sequence[dict[str, Any]], images: float) -> float | None:
    """Processor seconds to compare so many pictures: a part for each, and one for each pair.

    None: it was not measured.
    """
    found = [each for each in rows if each["step"] == NEAR_DUPLICATES]
    if len(found) < 2:
        return None
    each_image = [(row["images"], row["seconds"] / row["images"]) for row in found]
    per_pair, per_image = line_through(each_image)
    return images * (per_image + per_pair * images)


def largest(rows: Sequence[dict[str, Any]], step: str) -> dict[str, Any] | None:
    """A step with the most images that it was measured with."""
    found = [each for each in rows if each["step"] == step]
    return max(found, key=lambda each: int(each["images"]), default=None)


def _cell(page: Path, begins: str, column: int) -> Figure:
    for line in _CELLS.findall(page.read_text()):
        cells = line.split(" | ")
        if cells[0].startswith(begins) and (number := _NUMBER.search(cells[column])):
            return Figure(float(number[0].replace(",", "")), page.name)
    raise ValueError(
        f"{page} has no row that begins with {begins!r}; write the page again, or correct the "
        "row's name in benchmarks/measured_figures.py"
    )


def _cores(page: Path) -> int:
    found = re.search(r"^(\d+) cores", page.read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{page} does not say on how many cores it was measured")
    return int(found[1])


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None
