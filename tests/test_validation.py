"""The stage validate_data with the real Great Expectations: report first, then the refusal."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_tasks.config import DataConfig
from ml_tasks.dataset.announcement import take_snapshot
from ml_tasks.dataset.expectations import FailingFile
from ml_tasks.dataset.manifest import ManifestRow, read_rows
from ml_tasks.dataset.phantoms import write_sample
from ml_tasks.errors import DataError
from ml_tasks.preprocessing import preprocess
from ml_tasks.records import ValidationRecord
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file
from ml_tasks.validation import validate_data
from tests.builders import breast_shape, encoded, film, toy_config, write_raw


def check_written(run: RunPaths, *, passed: bool) -> tuple[ValidationRecord, str]:
    """What the stage leaves in any case; gives the record and our report."""
    folder = run.stage("validate_data")
    record = run.load(ValidationRecord)
    assert record.passed is passed
    assert record.manifest_sha256 == sha256_file(folder / "manifest.csv")
    assert "<html" in (folder / "data_docs" / "index.html").read_text()
    return record, (folder / "report.html").read_text()


def small_images(raw: Path) -> str:
    path = raw / "Positive" / "P001.png"
    path.write_bytes(encoded(film(1, lesion=True)[:100, :90]))
    return "Positive/P001.png"


def contradiction(raw: Path) -> str:
    (raw / "Negative" / "P000.png").write_bytes((raw / "Positive" / "P003.png").read_bytes())
    return "Negative/P000.png"


def broken_files(raw: Path) -> str:
    for number in (1, 3):
        (raw / "Positive" / f"P{number:03}.png").write_bytes(b"")
    return "Positive/P003.png"


def few_patients(raw: Path) -> str:
    for number in range(1, 13, 2):
        (raw / "Positive" / f"P{number:03}.png").unlink()
    return "Positive/P013.png"


def overexposed_film(raw: Path) -> str:
    pixels = film(5)
    pixels[breast_shape()] = 255
    (raw / "Positive" / "P005.png").write_bytes(encoded(pixels))
    return "Positive/P005.png"


def test_good_data_pass_and_their_manifest_is_the_snapshot(tmp_path: Path) -> None:
    config = toy_config(tmp_path, data=DataConfig(min_patients_per_class=3))
    write_sample(config.paths.raw, patients=6)
    run = RunPaths(config.paths.runs, "manual__2026-01-02T03:04:05+00:00")
    record = validate_data(run, config)
    written, report = check_written(run, passed=True)
    assert written == record
    assert (record.images, record.quarantined, record.patients) == (12, 0, 6)
    assert record.classes == {"Negative": 6, "Positive": 6}
    assert record.failures == () and record.warnings == ()
    rows = read_rows(run.stage("validate_data") / "manifest.csv", ManifestRow)
    assert [row.sha256 for row in rows] == [sha256_file(config.paths.raw / r.path) for r in rows]
    assert report.count(">met<") == 18 and "NOT met" not in report


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (small_images, "each image measures at least 128 pixels on each side"),
        (contradiction, "no picture appears under both classes"),
        (broken_files, "at most 5% of the files are set aside as unusable"),
        (few_patients, "each class has at least 5 patients"),
        (overexposed_film, "no image is all black or all white"),
    ],
)
def test_data_that_fail_are_refused_after_the_report_is_written(
    tmp_path: Path, spoil: Callable[[Path], str], says: str
) -> None:
    config = toy_config(tmp_path, data=DataConfig(min_patients_per_class=5))
    write_raw(config.paths.raw)
    named = spoil(config.paths.raw)
    run = RunPaths(config.paths.runs, "r")
    with pytest.raises(DataError, match="the data did not pass validation") as refusal:
        validate_data(run, config)
    record, report = check_written(run, passed=False)
    (failure,) = record.failures
    assert says in failure and named in failure
    assert says in str(refusal.value) and "report.html" in str(refusal.value)
    assert report.count("NOT met") == 1
    assert re.search(rf"NOT met.*{re.escape(says)}.*{re.escape(named)}", report, re.DOTALL)
    with pytest.raises(DataError, match="the data did not pass validation; mend them and run"):
        preprocess(run, config)


def test_a_folder_without_any_usable_image_is_refused_with_an_example(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    for name in ("Negative", "Positive"):
        (config.paths.raw / name).mkdir(parents=True)
        (config.paths.raw / name / "a.png").touch()
    with pytest.raises(DataError, match=r"none of the 2 files .* Negative/a\.png: the file is emp"):
        validate_data(RunPaths(config.paths.runs, "r"), config)


def test_missing_metadata_is_warned_of_in_the_report(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    write_raw(config.paths.raw, patients=10, metadata=False)
    run = RunPaths(config.paths.runs, "r")
    validate_data(run, config)
    record, report = check_written(run, passed=True)
    assert "the patients of 10 files are guessed" in record.warnings[0]
    assert "the patients of 10 files are guessed" in report


def test_every_failing_file_is_named_and_the_data_docs_say_it_in_words(tmp_path: Path) -> None:
    config = toy_config(tmp_path, data=DataConfig(min_patients_per_class=3))
    write_raw(config.paths.raw, patients=8)
    small = [f"Negative/small {number:02}.png" for number in range(33)]
    for number, name in enumerate(small):
        path = config.paths.raw / name
        path.write_bytes(encoded(film(100 + number)[:100, :90]))
    (config.paths.raw / "metadata.csv").unlink()
    run = RunPaths(config.paths.runs, "r")
    with pytest.raises(DataError, match="each image measures at least 128 pixels on each side"):
        validate_data(run, config)
    record, report = check_written(run, passed=False)
    assert "and 28 more" in record.failures[0]
    assert all(name in report for name in small)
    assert re.search(r"<details><summary>and 13 more", report)
    folder = run.stage("validate_data")
    failing = read_rows(folder / "failing_files.csv", FailingFile)
    title = "each image measures at least 128 pixels on each side"
    listed = [row for row in failing if row.expectation == title]
    assert [row.file for row in listed] == small and all(row.fails_the_run for row in listed)
    assert 'href="failing_files.csv"' in report
    pages = [page.read_text() for page in (folder / "data_docs").rglob("validations/**/*.html")]
    (docs,) = pages
    text = html.unescape(re.sub(r"<[^>]*>", "", docs))
    for said in (title, "each usable image has a patient", "no film is blurred"):
        assert said in text
    suite = (folder / "data_docs" / "expectations" / "raw_mammograms.html").read_text()
    assert "failing_files.csv, beside the folder of these pages" in suite


def test_a_snapshot_is_what_is_validated_and_it_stands_in_the_report(tmp_path: Path) -> None:
    """The whole stage on announced data: a film that came later is not looked at."""
    config = toy_config(tmp_path, data=DataConfig(min_patients_per_class=3))
    write_sample(config.paths.raw, patients=6)
    taken = take_snapshot(config.paths.raw, tmp_path / "snapshots", config.paths.cache)
    late = config.paths.raw / "Positive" / "late.png"
    late.write_bytes(encoded(film(99, lesion=True)))
    data = config.data.model_copy(update={"snapshot": taken.folder})
    run = RunPaths(config.paths.runs, "r")
    record = validate_data(run, config.model_copy(update={"data": data}))
    assert (record.images, record.snapshot) == (12, taken.folder.name)
    assert len(record.data_sha256) == 64
    assert taken.folder.name in check_written(run, passed=True)[1]
    rows = read_rows(run.stage("validate_data") / "manifest.csv", ManifestRow)
    assert {row.path for row in rows} == set(taken.data_files)
