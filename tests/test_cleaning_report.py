"""What preprocess leaves beside the cleaned set: sheets, lesions in their new places, a report."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import pytest

from ml_tasks.config import Config
from ml_tasks.dataset.lesions import Lesion, read_lesions, write_lesions
from ml_tasks.preprocessing import preprocess
from ml_tasks.records import PreprocessRecord
from ml_tasks.run_paths import RunPaths
from tests.builders import film, toy_config, validated, write_raw


def cleaned(config: Config) -> tuple[RunPaths, PreprocessRecord]:
    run = RunPaths(config.paths.runs, "r")
    validated(run, config)
    return run, preprocess(run, config)


def test_the_report_shows_sheets_splits_and_certificate(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    write_raw(config.paths.raw, patients=24)
    run, record = cleaned(config)
    folder = run.stage("preprocess")
    page = (folder / "report.html").read_text()
    for name in ("contact_sheet.png", "most_removed.png"):
        sheet = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
        assert sheet is not None and sheet.shape[1] > 4 * 2 * 192
        assert f'src="{name}"' in page
    assert record.certificate in page and 'href="leakage.html"' in page
    assert "No lesions.csv" in page
    for split, count in record.patients.items():
        assert f'<td>{split.value}</td><td class="number">{count}</td>' in page


def test_lesions_are_told_in_finished_pixels_and_small_ones_are_warned_of(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    raw = write_raw(config.paths.raw, patients=24)
    pixels = film(1, lesion=True)
    _, _, _, (x, y) = cv2.minMaxLoc(cv2.GaussianBlur(pixels, (0, 0), 6))
    lesions = [
        Lesion(file="Positive/P001.png", x=x, y=y, radius=15),
        Lesion(file="Positive/P003.png", x=40, y=100, radius=1),
        Lesion(file="Positive/gone.png", x=40, y=100, radius=5),
    ]
    write_lesions(raw / "lesions.csv", lesions)
    run, record = cleaned(config)
    folder = run.stage("preprocess")
    found = read_lesions(folder)
    assert len(found) == 2
    with (folder / "index.csv").open() as stream:
        file = next(r["file"] for r in csv.DictReader(stream) if r["raw"] == "Positive/P001.png")
    (placed,) = found[file]
    finished = cv2.imread(str(folder / file), cv2.IMREAD_GRAYSCALE)
    assert finished is not None
    _, _, _, (across, down) = cv2.minMaxLoc(cv2.GaussianBlur(finished, (0, 0), 4))
    assert placed.x == pytest.approx(across, abs=2)
    assert placed.y == pytest.approx(down, abs=2)
    unknown, small = record.warnings
    assert "Positive/gone.png" in unknown
    assert "1 of 2 annotated lesions are narrower than 3 pixels" in small
    assert small in (folder / "report.html").read_text()
