"""Importing a labelled folder: the two classes under their own names, or nothing at all."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ml_tasks.dataset.importers.labelled_folder import import_images
from ml_tasks.errors import DataError, StorageError
from tests.builders import encoded, film, scanned, write_csv


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder images/ with four films and labels.csv beside it."""
    (tmp_path / "images").mkdir()
    rows = []
    for number in range(4):
        (tmp_path / "images" / f"f{number}.png").write_bytes(encoded(film(number)))
        label = "Positive" if number % 2 else "Negative"
        rows.append(
            {"file": f"f{number}.png", "label": label, "patient_id": f"P{number}", "tissue": "G, D"}
        )
    write_csv(tmp_path / "labels.csv", rows)
    return tmp_path


def imported(source: Path) -> dict[str, int]:
    return import_images(source / "images", source / "labels.csv", source / "raw").films


def test_images_go_to_their_class_under_their_own_names(source: Path) -> None:
    assert imported(source) == {"Negative": 2, "Positive": 2}
    raw = source / "raw"
    assert sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*.png")) == [
        "Negative/f0.png",
        "Negative/f2.png",
        "Positive/f1.png",
        "Positive/f3.png",
    ]
    assert (raw / "Positive/f1.png").read_bytes() == (source / "images/f1.png").read_bytes()


def test_metadata_carries_every_column_along(source: Path) -> None:
    imported(source)
    with (source / "raw" / "metadata.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[1] == {
        "file": "Positive/f1.png",
        "label": "Positive",
        "patient_id": "P1",
        "tissue": "G, D",
    }


def test_what_was_imported_is_what_validation_reads(source: Path) -> None:
    imported(source)
    rows, warnings = scanned(source / "raw")
    assert {row.patient for row in rows if row.usable} == {"P0", "P1", "P2", "P3"}
    assert warnings == ()


def test_files_may_be_named_from_the_folder_of_the_labels(source: Path) -> None:
    text = (
        (source / "labels.csv").read_text().replace("f", "images/f").replace("images/file", "file")
    )
    (source / "labels.csv").write_text(text)
    assert imported(source) == {"Negative": 2, "Positive": 2}


HEAD = "file,label,patient_id\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,label\n", r"lacks the column\(s\) patient_id; it has file, label"),
        ("", r"lacks the column\(s\) file, label, patient_id; it has none"),
        (HEAD, r"holds 0 label\(s\) \(none\); exactly two classes are needed"),
        (HEAD + "f0.png,Negative,P0\n", r"holds 1 label\(s\) \(Negative\)"),
        (HEAD + "f0.png,A,1\nf1.png,B,2\nf2.png,C,3\n", r"holds 3 label\(s\) \(A, B, C\)"),
        (HEAD + "f0.png,Negative,\n", "line 2: patient_id is empty"),
        (HEAD + "f0.png\n", "line 2: label, patient_id is empty"),
        (HEAD + "f0.png,Negative,P0,P1\n", "line 2 has more fields than the first line"),
        (HEAD + "f0.png,../up,P0\n", r"line 2: label '\.\./up' is no folder name"),
        (HEAD + "f0.png,..,P0\n", r"line 2: label '\.\.' is no folder name"),
        (HEAD + "f0.png,A,P0\nnone.png,B,P1\n", r"names none\.png, but there is no such file"),
        (HEAD + "f0.png,A,P0\n../labels.csv,B,P1\n", r"names \.\./labels\.csv, but there is no"),
        (HEAD + "f0.png,A,P0\n/etc/passwd,B,P1\n", "names /etc/passwd, but there is no such file"),
        (
            HEAD + "f0.png,A,P0\nf0.png,A,P0\nf1.png,B,P1\n",
            r"appear twice in one class, e\.g\. A/f0",
        ),
    ],
)
def test_faulty_labels_are_refused_and_nothing_is_written(
    source: Path, text: str, says: str
) -> None:
    (source / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        imported(source)
    assert not (source / "raw").exists()


def test_labels_in_another_encoding_are_refused_by_name(source: Path) -> None:
    (source / "labels.csv").write_bytes((HEAD + "f0.png,A,M\xfcller\n").encode("latin-1"))
    with pytest.raises(DataError, match=r"labels\.csv is no UTF-8 text; save it as CSV UTF-8"):
        imported(source)


def test_a_missing_labels_file_is_named(source: Path) -> None:
    (source / "labels.csv").unlink()
    with pytest.raises(DataError, match=r"the labels file .*labels\.csv does not exist"):
        imported(source)


def test_a_folder_that_holds_data_is_never_overwritten(source: Path) -> None:
    imported(source)
    (source / "raw" / "mine.txt").write_text("mine")
    with pytest.raises(StorageError, match="raw holds files .* name another output folder"):
        imported(source)
    assert (source / "raw" / "mine.txt").read_text() == "mine"
