"""The benchmark of batch scoring compares what it says; how fast anything is, is its to tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import batch_scoring
from benchmarks.served_release import ServedRelease
from benchmarks.table import QUICK
from tests.builders import encoded, film
from tests.toy_run import make_bundle


def test_every_row_has_images_a_second_of_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    def toy(folder: Path) -> ServedRelease:
        return ServedRelease(make_bundle(folder), folder, (encoded(film(1)), encoded(film(2))))

    monkeypatch.setattr(batch_scoring, "make_release", toy)
    monkeypatch.setattr(batch_scoring, "_ROUNDS", 1)
    rows = batch_scoring.measured(QUICK)
    assert len(rows) == 2
    for row in rows:
        assert row.ours.endswith(" images/s") and row.other.endswith(" images/s")
        assert float(row.ours.split()[0]) > 0
