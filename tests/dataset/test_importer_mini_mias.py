"""Importing mini-MIAS: both layouts, its table's oddities, and the real films where they are."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ml_tasks.dataset.importers.data_sets import import_data_set
from ml_tasks.dataset.importers.mini_mias import read_findings
from ml_tasks.dataset.importers.raw_folder import Imported
from ml_tasks.dataset.lesions import read_lesions
from ml_tasks.dataset.patients import Laterality, View, identities_of
from ml_tasks.errors import DataError
from tests.builders import encoded

INFO = """\
NOTES
3) When calcifications are present, centre locations and radii
   apply to clusters rather than individual calcifications.

mdb001 G CIRC B 535 425 197
mdb002 G CIRC B 522 280 69
mdb005 F CIRC B 477 133 30
mdb005 F CIRC B 500 168 26
mdb006 F NORM\x20
mdb059 F CIRC B
mdb216 D CALC M *NOTE 3*\x20
"""
FILMS = (1, 2, 5, 6, 59, 216)


def write_films(folder: Path, kind: str, numbers: tuple[int, ...] = FILMS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.full((1024, 1024), number % 256, np.uint8)
        suffix = {"PPM": "pgm", "PNG": "png"}[kind]
        (folder / f"mdb{number:03}.{suffix}").write_bytes(encoded(pixels, kind))


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The distribution as it was published: PGM films beside Info.txt."""
    source = tmp_path / "mias"
    write_films(source, "PPM")
    (source / "Info.txt").write_text(INFO)
    return source


def imported(source: Path) -> Imported:
    return import_data_set("mini-mias", source, source.parent / "raw")


def metadata(raw: Path) -> list[dict[str, str]]:
    with (raw / "metadata.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_original_distribution_is_imported(original: Path, tmp_path: Path) -> None:
    done = imported(original)
    assert done.films == {"Negative": 1, "Positive": 5}
    assert (done.patients, done.lesions, done.left_out) == (4, 4, ())
    assert done.summary() == "1 Negative, 5 Positive of 4 patients, 4 lesion(s)"
    raw = tmp_path / "raw"
    assert (raw / "Negative/mdb006.pgm").read_bytes() == (original / "mdb006.pgm").read_bytes()
    assert metadata(raw)[0] == {
        "file": "Positive/mdb001.pgm",
        "label": "Positive",
        "patient_id": "mias001",
        "view": "MLO",
        "laterality": "L",
        "source": "mini-MIAS",
        "density": "fatty-glandular",
    }


def test_the_layout_with_png_films_is_imported(tmp_path: Path) -> None:
    source = tmp_path / "mini-mias"
    write_films(source / "images", "PNG")
    (source / "MIAS-Info.txt").write_text(INFO)
    (source / "labels.csv").write_text("file,label\n")
    assert imported(source).films == {"Negative": 1, "Positive": 5}
    assert (tmp_path / "raw/Positive/mdb216.png").is_file()


def test_a_table_called_readme_is_found_and_a_readme_without_one_passed_over(
    original: Path,
) -> None:
    (original / "Info.txt").rename(original / "README")
    (original / "README.txt").write_text("unpack the films here")
    assert imported(original).films == {"Negative": 1, "Positive": 5}


def test_lesions_count_from_the_top_and_only_where_the_table_has_coordinates(
    original: Path, tmp_path: Path
) -> None:
    imported(original)
    lesions = read_lesions(tmp_path / "raw")
    found = {
        file: [(lesion.x, lesion.y, lesion.radius) for lesion in each]
        for file, each in lesions.items()
    }
    assert found == {
        "Positive/mdb001.pgm": [(535, 1023 - 425, 197)],
        "Positive/mdb002.pgm": [(522, 1023 - 280, 69)],
        "Positive/mdb005.pgm": [(477, 1023 - 133, 30), (500, 1023 - 168, 26)],
    }


def test_films_come_in_pairs_of_one_patient(original: Path, tmp_path: Path) -> None:
    imported(original)
    identities = identities_of(tmp_path / "raw", None)
    left, right = (identities.of(f"Positive/mdb00{number}.pgm") for number in (1, 2))
    assert left.patient == right.patient == "mias001"
    assert (left.laterality, right.laterality) == (Laterality.L, Laterality.R)
    assert left.view is View.MLO


def test_films_and_rows_without_one_another_are_left_out_by_name(
    original: Path, tmp_path: Path
) -> None:
    (original / "mdb216.pgm").unlink()
    write_films(original, "PPM", (7,))
    done = imported(original)
    assert {(one.name, one.reason) for one in done.left_out} == {
        ("mdb216", "Info.txt lists it, but there is no such film"),
        ("mdb007", "Info.txt does not list it"),
    }
    assert done.summary().endswith("; 2 left out, see not_imported.csv")
    with (tmp_path / "raw" / "not_imported.csv").open(newline="") as stream:
        assert [row["name"] for row in csv.DictReader(stream)] == ["mdb216", "mdb007"]


def test_a_folder_without_table_or_films_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mias").mkdir()
    with pytest.raises(DataError, match=r"holds none of MIAS-Info\.txt, Info\.txt, README"):
        imported(tmp_path / "mias")
    (tmp_path / "mias" / "Info.txt").write_text(INFO)
    with pytest.raises(DataError, match=r"holds no film \(mdb001\.pgm"):
        imported(tmp_path / "mias")
    with pytest.raises(DataError, match=r"none is no folder; name the one that holds"):
        imported(tmp_path / "none")


@pytest.mark.parametrize(
    "line",
    [
        "mdb007 G LUMP B 1 2 3",
        "mdb007 X NORM",
        "mdb007 G CIRC B 1 2",
        "mdb007 G CIRC 1 2 3",
        "mdb007",
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_its_number(original: Path, line: str) -> None:
    (original / "Info.txt").write_text(f"{INFO}{line}\n")
    with pytest.raises(DataError, match=r"Info\.txt line 12: 'mdb007.* is no line of the table"):
        imported(original)
    assert not (original.parent / "raw").exists()


def test_a_film_of_another_size_is_refused_since_its_lesions_would_be_elsewhere(
    original: Path,
) -> None:
    small = encoded(np.zeros((512, 512), np.uint8), "PPM")
    (original / "mdb005.pgm").write_bytes(small)
    with pytest.raises(DataError, match=r"mdb005\.pgm has 512x512 pixels; .* 1024x1024"):
        imported(original)


def test_a_damaged_film_is_named(original: Path) -> None:
    (original / "mdb005.pgm").write_bytes(b"P5 nonsense")
    with pytest.raises(DataError, match=r"mdb005\.pgm is no readable film"):
        imported(original)


def test_a_film_that_is_there_twice_is_refused(original: Path) -> None:
    write_films(original / "converted", "PNG", (5,))
    with pytest.raises(DataError, match=r"mdb005 is there twice, as .*mdb005\.\w+ and"):
        imported(original)


def test_a_link_to_outside_is_refused(original: Path, tmp_path: Path) -> None:
    (original / "mdb005.pgm").rename(tmp_path / "elsewhere.pgm")
    (original / "mdb005.pgm").symlink_to(tmp_path / "elsewhere.pgm")
    with pytest.raises(DataError, match=r"mdb005\.pgm is a link to nothing or to outside of"):
        imported(original)


def test_the_new_folder_must_not_lie_in_the_old_one(original: Path) -> None:
    with pytest.raises(DataError, match="would lie inside"):
        import_data_set("mini-mias", original, original / "raw")


def test_the_real_data_set_is_imported_as_its_labels_say(mini_mias: Path, tmp_path: Path) -> None:
    """labels.csv was derived from the table by other hands: both must tell the same."""
    done = import_data_set("mini-mias", mini_mias, tmp_path / "raw")
    assert done.films == {"Negative": 207, "Positive": 115}
    assert (done.patients, done.lesions, done.left_out) == (161, 119, ())
    with (mini_mias / "labels.csv").open(newline="") as stream:
        labels = {Path(row["file"]).name: row for row in csv.DictReader(stream)}
    rows = metadata(tmp_path / "raw")
    assert len(rows) == len(labels) == 322
    for row in rows:
        expected = labels[Path(row["file"]).name]
        for column in ("label", "patient_id", "view", "laterality"):
            assert row[column] == expected[column], row["file"]
    for lesions in read_lesions(tmp_path / "raw").values():
        assert all(0 <= lesion.x < 1024 and 0 <= lesion.y < 1024 for lesion in lesions)


def test_the_real_table_has_every_kind_of_row(mini_mias: Path) -> None:
    findings = list(read_findings(mini_mias / "MIAS-Info.txt"))
    assert len(findings) == 330
    assert sum(not finding.abnormal for finding in findings) == 207
    nowhere = {one.film for one in findings if one.abnormal and one.circle is None}
    assert nowhere == {"mdb059", "mdb216", "mdb233", "mdb245"}
