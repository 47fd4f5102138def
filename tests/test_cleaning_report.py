"""What preprocess leaves beside the cleaned set: sheets, lesions in their new places, a report."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from ml_tasks.config import Config
from ml_tasks.dataset.lesions import Lesion, read_lesions, write_lesions
from ml_tasks.preprocessing import preprocess
from ml_tasks.records import PreprocessRecord
from ml_tasks.run_paths import RunPaths
from tests.builders import encoded, film, toy_config, validated, write_raw


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


def write_marked(config: Config, *, outline: bool) -> None:
    """Forty-eight films; those of one class have a marker, and another outline if it is asked."""
    raw = write_raw(config.paths.raw, patients=48, lesions=False)
    for path in sorted((raw / "Positive").iterdir()):
        number = int(path.stem[1:])
        pixels = film(number)
        if outline:
            small = cv2.resize(pixels, None, fx=0.6, fy=0.9, interpolation=cv2.INTER_AREA)
            pixels = np.full_like(pixels, 8)
            pixels[: small.shape[0], : small.shape[1]] = small
        down, across = 12 + number % 9, 120 + number % 7
        pixels[down : down + 14, across : across + 16] = 180 + number
        path.write_bytes(encoded(pixels))


@pytest.mark.parametrize("outline", [False, True])
def test_a_marker_and_an_outline_that_tell_the_classes_stand_in_the_report(
    tmp_path: Path, outline: bool
) -> None:
    """Through the whole stage: what the film lost, what is left, and the breast's form alone."""
    config = toy_config(tmp_path)
    write_marked(config, outline=outline)
    run, record = cleaned(config)
    page = (run.stage("preprocess") / "report.html").read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    removed = re.search(r"what cleaning removed (\d\.\d\d) (\d\.\d\d) to \d\.\d\d", text)
    assert removed is not None and float(removed[1]) >= 0.9
    assert re.search(r"left outside of the breast one constant value: nothing to learn", text)
    form = re.search(r"the outline of the breast alone (\d\.\d\d) \d\.\d\d to (\d\.\d\d)", text)
    assert form is not None and (float(form[1]) >= 0.9) is outline
    warned = [text for text in record.warnings if "the outline of the breast alone" in text]
    assert len(warned) == outline
    assert all("is above 0." in warning for warning in warned)


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
