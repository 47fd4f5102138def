"""A run on DICOM films: patients by pseudonym, and no header value in anything that is written."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from ml_tasks.config import Config, DataConfig, ValidationConfig
from ml_tasks.dataset.examine_files import KEY_VARIABLE
from ml_tasks.dataset.manifest import IndexRow, ManifestRow, read_rows
from ml_tasks.errors import DataError
from ml_tasks.preprocessing import preprocess
from ml_tasks.run_paths import RunPaths
from ml_tasks.validation import validate_data
from tests.builders import film, toy_config
from tests.imaging.dicom_files import dicom_bytes, planted_dicom


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return toy_config(
        tmp_path,
        data=DataConfig(min_patients_per_class=3),
        validation=ValidationConfig(min_images_per_class=3),
    )


def write_films(config: Config, patients: int = 16) -> list[str]:
    """Two films of each patient, their headers full of strings; gives those strings."""
    strings: set[str] = set()
    for number in range(2 * patients):
        label = "Positive" if number // 2 % 2 else "Negative"
        values = film(number).astype(np.uint16) * 16
        data, planted = planted_dicom(values, patient=f"PLANTED-{number // 2:03}")
        path = config.paths.raw / label / f"{number:03}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        strings |= set(planted)
    (config.paths.raw / "Positive" / "cut.dcm").write_bytes(data[: len(data) // 2])
    return sorted(strings)


def test_nothing_of_a_header_stands_in_what_a_run_writes(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a secret of this unit")
    caplog.set_level(logging.DEBUG)
    strings = write_films(config)
    run = RunPaths(config.paths.runs, "r")
    records = validate_data(run, config), preprocess(run, config)
    rows = read_rows(run.stage("preprocess") / "index.csv", IndexRow)
    assert len(rows) == 32 and len({row.patient for row in rows}) == 16
    assert all(row.patient.startswith("p-") for row in rows)
    by_patient: dict[str, set[str]] = {}
    for row in rows:
        by_patient.setdefault(row.patient, set()).add(row.split)
    assert all(len(splits) == 1 for splits in by_patient.values())
    manifest = read_rows(run.stage("validate_data") / "manifest.csv", ManifestRow)
    assert {row.format for row in manifest if row.usable} == {"DICOM"}
    printed = capfd.readouterr()
    said = "".join((caplog.text, printed.out, printed.err, *map(repr, records))).encode()
    root = config.paths.raw.parent
    written = [
        path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.is_relative_to(config.paths.raw)
    ]
    assert len(written) > 100
    everything = b"\0".join([said, *written])
    for string in [*strings, "a secret of this unit"]:
        assert string.encode() not in everything, string


def test_without_a_key_the_remedy_is_told(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    write_films(config, patients=2)
    with pytest.raises(DataError, match=f"there is no key; set {KEY_VARIABLE} to a secret"):
        validate_data(RunPaths(config.paths.runs, "r"), config)


def test_a_burned_in_annotation_is_reported(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "key")
    write_films(config)
    (config.paths.raw / "Positive" / "marked.dcm").write_bytes(
        dicom_bytes(film(99).astype(np.uint16) * 16, PatientID="9", BurnedInAnnotation="YES")
    )
    run = RunPaths(config.paths.runs, "r")
    record = validate_data(run, config)
    (warning,) = [text for text in record.warnings if "burned into the pixels" in text]
    assert "Positive/marked.dcm" in warning
    assert "Positive/marked.dcm" in (run.stage("validate_data") / "report.html").read_text()
