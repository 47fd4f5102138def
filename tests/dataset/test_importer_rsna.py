"""Importing RSNA's screening mammograms: train.csv as Kaggle gives it, DICOM files or copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_tasks.dataset.importers.data_sets import import_data_set
from ml_tasks.dataset.importers.raw_folder import Imported
from ml_tasks.dataset.lesions import read_lesions
from ml_tasks.dataset.patients import Identity, Laterality, View, identities_of
from ml_tasks.errors import DataError
from tests.builders import encoded, film

HEAD = (
    "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,"
    "density,machine_id,difficult_negative_case\n"
)
ROWS = (
    "2,10006,462822612,L,CC,61.0,0,0,0,,0,,29,False\n"
    "2,10006,1459541791,L,MLO,61.0,0,0,0,,0,,29,False\n"
    "1,99999,111111111,R,AT,55.0,1,1,1,0.0,0,B,21,False\n"
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "rsna-breast-cancer-detection"
    for name in ("10006/462822612", "10006/1459541791", "99999/111111111"):
        path = folder / "train_images" / f"{name}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())  # an importer copies the file and does not look into it
    (folder / "train.csv").write_text(HEAD + ROWS)
    (folder / "test.csv").write_text("site_id,patient_id,image_id\n2,10008,736471439\n")
    return folder


def imported(source: Path) -> Imported:
    return import_data_set("rsna", source, source.parent / "raw")


def test_images_go_to_their_class_with_patient_view_and_laterality(
    source: Path, tmp_path: Path
) -> None:
    done = imported(source)
    assert done.summary() == "2 Negative, 1 Positive of 2 patients"
    raw = tmp_path / "raw"
    assert (raw / "Positive/99999_111111111.dcm").read_bytes() == b"99999/111111111"
    identities = identities_of(raw, None)
    assert identities.of("Negative/10006_1459541791.dcm") == Identity(
        patient="10006", view=View.MLO, laterality=Laterality.L, site="2", age_band="60-69"
    )
    other = identities.of("Positive/99999_111111111.dcm")
    assert (other.density, other.site, other.age_band) == ("B", "1", "50-59")
    assert identities.of("Positive/99999_111111111.dcm").view is View.AT
    assert read_lesions(raw) == {} and not (raw / "lesions.csv").exists()


@pytest.mark.parametrize("name", ["10006/462822612.png", "10006_462822612.png"])
def test_converted_copies_are_found(source: Path, tmp_path: Path, name: str) -> None:
    (source / "train_images/10006/462822612.dcm").unlink()
    (source / "train_images" / name).write_bytes(encoded(film(0)))
    assert imported(source).left_out == ()
    assert (tmp_path / "raw/Negative/10006_462822612.png").is_file()


def test_images_that_are_not_there_are_left_out_by_name(source: Path) -> None:
    (source / "train_images/10006/462822612.dcm").unlink()
    done = imported(source)
    assert [(one.name, one.reason) for one in done.left_out] == [
        ("10006_462822612", "not in train_images/")
    ]


def test_a_link_to_outside_counts_as_not_there(source: Path, tmp_path: Path) -> None:
    path = source / "train_images/10006/462822612.dcm"
    path.rename(tmp_path / "elsewhere.dcm")
    path.symlink_to(tmp_path / "elsewhere.dcm")
    assert [one.name for one in imported(source).left_out] == ["10006_462822612"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "patient_id,image_id,laterality,view\n",
            r"train\.csv lacks the column\(s\) cancer; it has patient_id",
        ),
        (HEAD + "2,../up,1,L,CC,61,0\n", r"line 2: patient_id '\.\./up' is no number"),
        (HEAD + "2,10006,/etc/passwd,L,CC,61,0\n", "line 2: image_id '/etc/passwd' is no number"),
        (HEAD + "2,10006,\n", "line 2: image_id '' is no number"),
        (HEAD + "2,10006,462822612,L,CC,61,maybe\n", "cancer 'maybe' is neither 0 nor 1"),
        (HEAD + "2,10006,462822612,L,side,61,0\n", "line 2: view 'side' is not known; allowed are"),
        (HEAD + "2,10006,462822612,B,CC,61,0\n", "line 2: laterality 'B' is not known"),
        (HEAD + "2,10006,462822612,L,CC,61,0\n", r"holds 1 label\(s\) \(Negative\)"),
        (HEAD + "2,7,7,L,CC,61,0\n", "none of the 1 images of .* is in .*train_images; "),
    ],
)
def test_faulty_tables_are_refused_and_nothing_is_written(
    source: Path, text: str, says: str
) -> None:
    (source / "train.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        imported(source)
    assert not (source.parent / "raw").exists()


def test_a_folder_without_train_csv_is_refused(source: Path) -> None:
    (source / "train.csv").unlink()
    with pytest.raises(DataError, match=r"holds no train\.csv; name the folder that holds it"):
        imported(source)
