"""Whose picture it is: metadata.csv, a pattern, or each file alone, with a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_tasks.dataset.patients import patients_of
from ml_tasks.errors import DataError
from tests.builders import write_csv

ROWS = [
    {"file": "Positive/a.png", "label": "Positive", "patient_id": "P1"},
    {"file": "Positive/b.png", "label": "Positive", "patient_id": "P1"},
    {"file": "Negative/c.png", "label": "Negative", "patient_id": "P2"},
]


def test_metadata_says_whose_picture_it_is(tmp_path: Path) -> None:
    write_csv(tmp_path / "metadata.csv", ROWS)
    patient_of, warnings = patients_of(tmp_path, pattern=None)
    assert [patient_of(row["file"]) for row in ROWS] == ["P1", "P1", "P2"]
    assert warnings == ()


def test_metadata_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """Excel begins UTF-8 files with a byte order mark and ends lines with CR LF."""
    text = "\ufefffile,patient_id\r\nPositive/a.png,P1\r\n"
    (tmp_path / "metadata.csv").write_text(text, newline="")
    assert patients_of(tmp_path, None)[0]("Positive/a.png") == "P1"


def test_a_file_without_a_row_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "metadata.csv", ROWS)
    with pytest.raises(DataError, match=r"Positive/z\.png has no row in .*metadata\.csv; add one"):
        patients_of(tmp_path, None)[0]("Positive/z.png")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,label\na,b\n", r"metadata\.csv lacks the column\(s\) patient_id"),
        ("", r"lacks the column\(s\) file, patient_id"),
        ("file,patient_id\nPositive/a.png,\n", "line 2: `file` and `patient_id` must not be empty"),
        ("file,patient_id\nPositive/a.png\n", "line 2: `file` and `patient_id` must not be empty"),
        (
            "file,patient_id\nPositive/a.png,P1\nPositive/a.png,P2\n",
            r"line 3: Positive/a\.png is listed twice; keep one row",
        ),
        (
            "file,patient_id,label\nPositive/a.png,P1,Negative\n",
            "line 2: Positive/a.png lies in the folder of another class than its label 'Negative'",
        ),
    ],
)
def test_faulty_metadata_is_refused_with_the_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        patients_of(tmp_path, None)


def test_metadata_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_bytes("file,patient_id\na,M\xfcller\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"metadata\.csv is no UTF-8 text; save it as CSV UTF-8"):
        patients_of(tmp_path, None)


def test_a_pattern_finds_the_patient_in_the_file_name(tmp_path: Path) -> None:
    patient_of, warnings = patients_of(tmp_path, r"^(P\d+)_")
    assert patient_of("Positive/P12_left.png") == "P12"
    assert warnings == ()
    with pytest.raises(DataError, match=r"Positive/x\.png: data\.patient_pattern .* finds no"):
        patient_of("Positive/x.png")


def test_without_either_each_file_is_a_patient_and_a_warning_says_so(tmp_path: Path) -> None:
    patient_of, (warning,) = patients_of(tmp_path, None)
    assert patient_of("Positive/a.png") != patient_of("Negative/a.png")
    assert "the test figures will be too good" in warning
