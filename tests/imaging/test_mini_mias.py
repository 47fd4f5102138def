"""Cleaning on the real films of mini-MIAS."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


def test_all_films_are_cleaned_and_keep_their_lesions(mini_mias: Path) -> None:
    """A lesion cut off with the film's border would train the network on a wrong label."""
    with (mini_mias / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    def lost(row: dict[str, str]) -> tuple[str, int]:
        film = clean(decode((mini_mias / row["file"]).read_bytes(), SPEC), SPEC)
        share = film.mask.mean()
        assert 0.05 < share < 0.99, f"{row['file']}: the breast fills {share:.0%}"
        factor = film.geometry.factor
        return row["file"], sum(
            not film.kept[y // factor, x // factor] for y, x in centres(row["source_label"])
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lost, rows))
    assert len(found) == 322
    assert sum(1 for row in rows if list(centres(row["source_label"]))) > 100
    assert {Path(file).stem for file, count in found if count} <= HARD
