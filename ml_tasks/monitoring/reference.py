"""What a release's own pictures and scores were like: one anonymous row for each picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from ml_tasks.dataset.manifest import IndexRow, read_rows, write_rows
from ml_tasks.errors import DriftError
from ml_tasks.imaging.statistics import PictureStatistics, picture_statistics
from ml_tasks.records import Record, Split

NAME = "drift_reference.csv"  # in a release's record
FIGURES = PictureStatistics.names()
DIGITS = 4  # as the service rounds: else a figure that is the same would seem to differ
MOST = 5_000  # pictures of the training split, and as many of the other two together
_SEED = 20_26


class ReferenceRow(Record):
    """One cleaned picture in figures: no file, no patient, no order that would tell of either."""

    split: Split
    positive: bool
    # Calibrated, of the positive class. Empty for the training split: the model has seen it.
    probability: float | None = Field(None, ge=0, le=1)
    share: float
    mean: float
    deviation: float
    dark: float
    bright: float
    skew: float
    edges: float
    coarse: float
    wall: float
    width: float

    def figures(self) -> tuple[float, ...]:
        """The picture's figures in the order of `FIGURES`."""
        return tuple(getattr(self, name) for name in FIGURES)


def reference_rows(
    index: Sequence[IndexRow],
    pictures: Mapping[Split, NDArray[np.uint8]],
    probabilities: Mapping[str, float],
    positive: str,
) -> list[ReferenceRow]:
    """At most `MOST` rows of the training split and of the others each, drawn by a fixed seed.

    `pictures` holds each split's (N,H,W) in the order of `index`; `probabilities` are by raw file.
    """
    generator = np.random.default_rng(_SEED)
    places = [
        (split, at, row)
        for split in pictures
        for at, row in enumerate(row for row in index if row.split is split)
    ]
    rows = []
    for wanted in ({Split.TRAIN}, {Split.VAL, Split.TEST}):
        part = [place for place in places if place[0] in wanted]
        for chosen in generator.permutation(len(part))[:MOST]:
            split, at, row = part[chosen]
            statistics = picture_statistics(np.asarray(pictures[split][at]))
            probability = None if split is Split.TRAIN else probabilities.get(row.raw)
            rows.append(_row(split, row.label == positive, probability, statistics))
    return rows


def keep_reference(bundle: Path, rows: Sequence[ReferenceRow]) -> None:
    """Keeps the rows in the release's record, outside of the image.

    Raises:
        StorageError: no space left.
    """
    write_rows(reference_of(bundle.parent.parent, bundle.parent.name), rows, ReferenceRow)


def reference_of(releases: Path, version: str) -> Path:
    """Where a release keeps its reference."""
    return releases / version / "record" / NAME


def read_reference(releases: Path, version: str) -> list[ReferenceRow] | None:
    """The rows of a release; None where it is older than this comparison.

    Raises:
        DriftError: the file is damaged.
    """
    path = reference_of(releases, version)
    if not path.exists():
        return None
    try:
        rows = read_rows(path, ReferenceRow)
    except (ValidationError, UnicodeDecodeError, csv.Error) as error:
        raise DriftError(
            f"{path} is damaged ({type(error).__name__}); restore it from a copy, or clear "
            "build_image of the run that made this release, which writes it anew"
        ) from error
    if not rows:
        raise DriftError(f"{path} holds no row; clear build_image of the run that made the release")
    return rows


def _row(
    split: Split, positive: bool, probability: float | None, statistics: PictureStatistics
) -> ReferenceRow:
    values = (round(float(value), DIGITS) for value in statistics.vector())
    return ReferenceRow(
        split=split,
        positive=positive,
        probability=None if probability is None else round(probability, DIGITS),
        **dict(zip(FIGURES, values, strict=True)),
    )
