"""The controls on mini-MIAS: a planted marker is found, the outline says little."""

from __future__ import annotations

import csv
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_tasks.dataset.examination import examine
from ml_tasks.dataset.shortcuts import control, removed_picture
from ml_tasks.imaging.encode import decoded_png
from ml_tasks.imaging.spec import ImageSpec

SPEC = ImageSpec()


@pytest.fixture(scope="module")
def films(
    mini_mias: Path,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_], list[str]]:
    """What cleaning removed, the outlines, the classes and the patients."""
    with (mini_mias / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    def seen(row: dict[str, str]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        pictures = examine((mini_mias / row["file"]).read_bytes(), SPEC).pictures
        assert pictures is not None
        film, kept, mask, finished = (
            decoded_png(data)
            for data in (pictures.film, pictures.kept, pictures.mask, pictures.finished)
        )
        assert not finished[mask == 0].any()
        return removed_picture(film, kept, SPEC.side), mask

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        removed, outlines = zip(*pool.map(seen, rows), strict=True)
    labels = np.array([row["label"] == "Positive" for row in rows])
    return np.stack(removed), np.stack(outlines), labels, [row["patient_id"] for row in rows]


@pytest.mark.parametrize("count", [160, 322])
def test_a_planted_marker_is_found_among_real_labels_and_tape(
    films: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_], list[str]], count: int
) -> None:
    """It covers 3 to 6 % of the side, jittered over a corner and in brightness."""
    random = np.random.default_rng(count)
    pictures = films[0][random.permutation(len(films[0]))[:count]].copy()
    labels = random.random(count) < 0.4
    for number in np.flatnonzero(labels):
        size, down, across = random.integers(4, 8), random.integers(4, 36), random.integers(84, 118)
        place = pictures[number, down : down + size, across : across + size]
        np.maximum(place, random.integers(160, 250), out=place, casting="unsafe")
    found = control("planted", pictures, labels, [str(number) for number in range(count)])
    assert found.auc is not None and found.auc >= 0.9


def test_the_outline_of_the_breast_says_little(
    films: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_], list[str]],
) -> None:
    """Measured: 0.54 [0.48, 0.59] for the outline, 0.50 [0.43, 0.57] for what was removed."""
    _, outlines, labels, patients = films
    found = control("outline", outlines, labels, patients, bound=0.65)
    assert found.auc is not None and not found.warning
