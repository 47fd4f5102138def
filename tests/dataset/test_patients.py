"""Whose picture it is: metadata.csv, a pattern, a DICOM header's pseudonym, or nobody known."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_tasks.dataset.patients import (
    UNKNOWN,
    Identity,
    Laterality,
    View,
    header_identity,
    identities_of,
    unknown_patients,
)
from ml_tasks.errors import DataError
from ml_tasks.imaging.header import ImageHeader
from tests.builders import write_csv

ROWS = [
    {"file": "Positive/a.png", "label": "Positive", "patient_id": "P1"},
    {"file": "Positive/b.png", "label": "Positive", "patient_id": "P1"},
    {"file": "Negative/c.png", "label": "Negative", "patient_id": "P2"},
]
HEADER = Identity(patient="pseudonym", view=View.MLO, laterality=Laterality.R)


def test_metadata_says_whose_picture_it_is(tmp_path: Path) -> None:
    write_csv(tmp_path / "metadata.csv", ROWS)
    identities = identities_of(tmp_path, pattern=None)
    assert [identities.of(row["file"]).patient for row in ROWS] == ["P1", "P1", "P2"]


def test_metadata_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """Excel begins UTF-8 files with a byte order mark and ends lines with CR LF."""
    text = "\ufefffile,patient_id\r\nPositive/a.png,P1\r\n\r\n"
    (tmp_path / "metadata.csv").write_text(text, newline="")
    assert identities_of(tmp_path, None).of("Positive/a.png").patient == "P1"


@pytest.mark.parametrize("header", [UNKNOWN, HEADER])
def test_a_file_without_a_row_is_refused_whatever_its_header_says(
    tmp_path: Path, header: Identity
) -> None:
    """One patient under two names, the table's and the header's, could land in two splits."""
    write_csv(tmp_path / "metadata.csv", ROWS)
    with pytest.raises(DataError, match=r"Positive/z\.png has no row in .*metadata\.csv; add one"):
        identities_of(tmp_path, None).of("Positive/z.png", header)


@pytest.mark.parametrize(
    ("view", "laterality", "expected"),
    [
        ("CC", "L", (View.CC, Laterality.L)),
        ("mlo", "right", (View.MLO, Laterality.R)),
        (" Cc ", "LEFT", (View.CC, Laterality.L)),
        ("xccl", "r", (View.XCCL, Laterality.R)),
        ("", "", (None, None)),
    ],
)
def test_view_and_laterality_are_read_as_people_write_them(
    tmp_path: Path, view: str, laterality: str, expected: tuple[View | None, Laterality | None]
) -> None:
    row = {**ROWS[0], "laterality": laterality, "view": view, "tissue": "G, D"}
    write_csv(tmp_path / "metadata.csv", [row])
    found = identities_of(tmp_path, None).of("Positive/a.png")
    assert (found.view, found.laterality) == expected


def test_density_site_and_age_band_are_read_as_they_stand(tmp_path: Path) -> None:
    row = {**ROWS[0], "density": "c", "site": "Unit 2", "age_band": "50-59", "age": "57"}
    write_csv(tmp_path / "metadata.csv", [row])
    found = identities_of(tmp_path, None).of("Positive/a.png", HEADER)
    assert (found.density, found.site, found.age_band) == ("c", "Unit 2", "50-59")
    assert (found.view, found.laterality) == (View.MLO, Laterality.R)  # the header's


def test_a_text_where_a_slice_is_to_be_named_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "metadata.csv", [{**ROWS[0], "site": "x" * 41}])
    with pytest.raises(DataError, match=r"line 2: site has more than 40 characters; shorten it"):
        identities_of(tmp_path, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "file,label\na,b\n",
            r"metadata\.csv lacks the column\(s\) patient_id; it has file, label",
        ),
        ("", r"lacks the column\(s\) file, patient_id; it has none"),
        ("file,patient_id\nPositive/a.png,\n", "line 2: `file` and `patient_id` must not be empty"),
        ("file,patient_id\nPositive/a.png\n", "line 2: `file` and `patient_id` must not be empty"),
        ("file,patient_id\na.png,P,1\n", "line 2 has more fields than the first line"),
        (
            "file,patient_id\nPositive/a.png,P1\nPositive/a.png,P2\n",
            r"line 3: Positive/a\.png is listed twice; keep one row",
        ),
        (
            "file,patient_id,label\nPositive/a.png,P1,Negative\n",
            "line 2: Positive/a.png lies in the folder of another class than its label 'Negative'",
        ),
        (
            "file,patient_id,view\na.png,P1,CC\nb.png,P1,top\n",
            "line 3: view 'top' is not known; allowed are CC, MLO, ",
        ),
        (
            'file,note,patient_id,laterality\na.png,"two\nlines",P1,both\n',
            "line 3: laterality 'both' is not known; allowed are L, R, LEFT, RIGHT",
        ),
    ],
)
def test_faulty_metadata_is_refused_with_the_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        identities_of(tmp_path, None)


def test_metadata_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_bytes("file,patient_id\na,M\xfcller\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"metadata\.csv is no UTF-8 text; save it as CSV UTF-8"):
        identities_of(tmp_path, None)


def test_a_pattern_finds_the_patient_in_the_file_name(tmp_path: Path) -> None:
    identities = identities_of(tmp_path, r"^(P\d+)_")
    assert identities.of("Positive/P12_left.png").patient == "P12"
    with pytest.raises(DataError, match=r"Positive/x\.png: data\.patient_pattern .* finds no"):
        identities.of("Positive/x.png")


def test_metadata_comes_before_the_pattern_and_both_before_the_header(tmp_path: Path) -> None:
    by_name = identities_of(tmp_path, r"^(.)\.png")
    assert by_name.of("Positive/a.png", HEADER).patient == "a"
    assert by_name.of("Positive/IM001.dcm", HEADER).patient == "pseudonym"
    write_csv(tmp_path / "metadata.csv", [{**ROWS[0], "view": "CC", "laterality": ""}])
    found = identities_of(tmp_path, r"^(.)\.png").of("Positive/a.png", HEADER)
    assert found == Identity(patient="P1", view=View.CC, laterality=Laterality.R)


@pytest.mark.parametrize(
    ("pseudonym", "header", "expected"),
    [
        ("a1b2", ImageHeader(view="MLO", laterality="R"), ("a1b2", View.MLO, Laterality.R)),
        ("a1b2", ImageHeader(view="cc", laterality="B"), ("a1b2", View.CC, None)),
        ("", ImageHeader(view="scout"), (None, None, None)),
        (None, ImageHeader(), (None, None, None)),
    ],
)
def test_a_header_with_words_of_its_own_is_no_reason_to_stop(
    pseudonym: str | None, header: ImageHeader, expected: tuple[object, ...]
) -> None:
    found = header_identity(pseudonym, header)
    assert (found.patient, found.view, found.laterality) == expected


def test_with_neither_the_header_tells_and_else_nobody_is_known(tmp_path: Path) -> None:
    identities = identities_of(tmp_path, None)
    assert identities.of("Positive/IM001.dcm", HEADER) == HEADER
    assert identities.of("Positive/a.png") == UNKNOWN
    assert UNKNOWN.patient is None


def test_the_warning_of_guessed_patients_says_what_it_means() -> None:
    warning = unknown_patients(12, 9)
    assert "the patients of 12 files are guessed" in warning
    assert "9 in all" in warning
    assert "the test figures will be too good" in warning
