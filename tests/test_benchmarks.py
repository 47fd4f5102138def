"""The benchmarks run and compare what they say; how fast anything is, is theirs to tell."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.__main__ import main, measured
from benchmarks.table import QUICK, Row, page
from benchmarks.timing import in_turn, ratio


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return measured(QUICK)


def test_every_format_and_every_goal_has_its_row(rows: list[Row]) -> None:
    text = page(rows, QUICK)
    for part in (
        "JPEG:",
        "PNG, 16 bit:",
        "the plain way",
        "one process / two",
        "unchanged run",
        "beyond inference",
        "roc_auc_score",
    ):
        assert part in text
    for syntax in ("uncompressed", "RLE", "JPEG lossless", "JPEG-LS", "JPEG 2000"):
        assert f"DICOM, {syntax}: ours" in text
        assert f"Peak memory of a worker, {syntax}" in text
        assert f"Peak memory of a worker, largest film, {syntax}.dcm" in text
    for name in ("16 bit.png", "colour.png", "16 bit.tif", "16 bit.pgm", "progressive.jpg"):
        assert f"Peak memory of a worker, largest film, {name}" in text


def test_what_is_not_a_matter_of_speed_is_reached(rows: list[Row]) -> None:
    parity = next(row for row in rows if row.what.startswith("Mean difference"))
    changed = next(row for row in rows if row.what.startswith("Films examined anew"))
    assert parity.met, parity
    assert changed.met, changed


def test_a_worker_that_was_watched_has_a_size(rows: list[Row]) -> None:
    sizes = [row.figure for row in rows if row.what.startswith("Peak memory")]
    assert all(isinstance(size, float) and size > 20 for size in sizes)  # NumPy alone takes more


def test_the_ratio_of_contenders_is_that_of_their_times() -> None:
    seconds = in_turn({"long": lambda: sum(range(300_000)), "short": lambda: sum(range(3000))}, 9)
    assert len(seconds["long"]) == 9
    assert ratio(seconds["long"], seconds["short"]).low > 5
    same = ratio(np.full(9, 2.0), np.full(9, 4.0))
    assert (same.median, same.low, same.high) == (0.5, 0.5, 0.5)


def test_a_missed_goal_is_named_and_ends_the_command_with_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reached = Row("Fast enough", "1 ms", "", 1.0, "at most 2", met=True)
    missed = Row("Peak memory", "400 MB", "", 400.0, "at most 300 MB", met=False)
    told = Row("For information", "7 ms", "", 7.0)
    for found, status in (([reached, told], 0), ([reached, missed, told], 1)):
        monkeypatch.setattr("benchmarks.__main__.measured", lambda _, found=found: found)
        assert main(["--quick", "--only", "pipeline"]) == status
        errors = capsys.readouterr().err
        named = "goal missed: Peak memory: 400.00, should be at most 300 MB" in errors
        assert named == bool(status) and "Fast enough" not in errors
