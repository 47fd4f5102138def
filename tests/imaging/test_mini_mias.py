"""Cleaning on the real films of mini-MIAS."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from ml_tasks.imaging.breast import Pixels, breast_mask, dark_background, without_frame
from ml_tasks.imaging.clean import clean
from ml_tasks.imaging.decode import decode
from ml_tasks.imaging.spec import ImageSpec

SPEC = ImageSpec()
HARD = {"mdb212", "mdb214"}  # dim tissue under the muscle: the mask leaves the centre outside


def centres(source_label: str) -> Iterator[tuple[int, int]]:
    """Row and column of each lesion centre; the label counts y from the bottom of 1024."""
    for lesion in source_label.split("|"):
        words = lesion.split()
        if len(words) >= 5 and words[3].isdigit() and words[4].isdigit():
            yield 1023 - int(words[4]), int(words[3])


def kept(pixels: Pixels) -> Pixels:
    """The breast mask at the size of the film."""
    bare = without_frame(dark_background(pixels), SPEC)
    scale = SPEC.working_side / max(bare.shape)
    small = cv2.resize(bare, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = breast_mask(np.asarray(small, np.uint8), SPEC)
    return np.asarray(cv2.resize(mask, bare.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def test_all_films_are_cleaned_and_keep_their_lesions(mini_mias: Path) -> None:
    """A lesion cut off with the film's border would train the network on a wrong label."""
    with (mini_mias / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    def lost(row: dict[str, str]) -> tuple[str, int]:
        pixels = decode((mini_mias / row["file"]).read_bytes(), SPEC).pixels
        share = np.count_nonzero(clean(pixels, SPEC)) / 128**2
        assert 0.05 < share < 0.99, f"{row['file']}: the breast fills {share:.0%}"
        places = list(centres(row["source_label"]))
        if not places:
            return row["file"], 0
        mask = kept(pixels)
        return row["file"], sum(not mask[place] for place in places)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lost, rows))
    assert len(found) == 322
    assert sum(1 for row in rows if list(centres(row["source_label"]))) > 100
    assert {Path(file).stem for file, count in found if count} <= HARD
