"""Many images take no more memory than few: measured in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ml_tasks.config import save_config
from tests.counts import cases
from tests.scoring.batches import toy_release, write_films

FEW = 100
MOST_GROWTH_KIB = 16 * 1024  # of about 200 MB; NumPy's and Parquet's buffers come and go
LINKS = 50  # films that are files of their own; the others are links to them


def many_films(folder: Path, count: int) -> Path:
    """So many names; every fifth film is damaged."""
    films = sorted(write_films(folder.parent / f"{folder.name}-films", LINKS, deep=False).iterdir())
    folder.mkdir()
    for number in range(count):
        os.link(films[number % LINKS], folder / f"{number:06}.png")
    return folder


def test_many_images_need_no_more_memory_than_a_hundred(tmp_path: Path) -> None:
    peaks = {}
    with toy_release(tmp_path, chunk=50) as toy:
        save_config(toy.config, tmp_path / "config.yaml")
        for count in (FEW, cases(600, 10_000)):
            folder = many_films(tmp_path / f"films-{count}", count)
            words = [sys.executable, "-m", "tests.scoring.peak_memory"]
            words += [str(tmp_path / "config.yaml"), str(folder)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            images, peak = map(int, done.stdout.split())
            assert images == count
            peaks[count] = peak
    assert max(peaks.values()) - peaks[FEW] < MOST_GROWTH_KIB, peaks
