"""Importing CBIS-DDSM: the tables' columns, the tree of a download, swapped masks, shared films."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from ml_tasks.dataset.importers.cbis_masks import circle_of
from ml_tasks.dataset.importers.data_sets import import_data_set
from ml_tasks.dataset.importers.raw_folder import Imported
from ml_tasks.dataset.lesions import read_lesions
from ml_tasks.dataset.patients import Identity, Laterality, View, identities_of
from ml_tasks.errors import DataError, ImageRejected
from tests.builders import encoded

MASS = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,"
    "mass shape,mass margins,assessment,pathology,subtlety,image file path,"
    "cropped image file path,ROI mask file path\n"
)
CALC = (
    "patient_id,breast density,left or right breast,image view,abnormality id,abnormality type,"
    "calc type,calc distribution,assessment,pathology,subtlety,image file path,"
    "cropped image file path,ROI mask file path\n"
)
STUDY, SERIES = "1.3.6.1.4.1.9590.100.1.2.42211", "1.3.6.1.4.1.9590.100.1.2.34238619424515"


def row(case: str, pathology: str, number: int = 1, series: str = SERIES) -> str:
    """A row as the tables have it: UIDs in the paths, and a line break after the last one."""
    kind, patient, side, view = case.split("_", 1)[0], *case.rsplit("_", 3)[-3:]
    film = f"{case}/{STUDY}/{series}/000000.dcm"
    region = f"{case}_{number}/{STUDY}/{SERIES}"
    what = "mass,OVAL,SPICULATED" if kind.startswith("Mass") else "calcification,NA,REGIONAL"
    return (
        f"P_{patient},3,{side},{view},{number},{what},4,{pathology},4,"
        f'{film},{region}/000000.dcm,"{region}/000001.dcm\n"\n'
    )


def dicom(path: Path, pixels: NDArray[np.generic]) -> Path:
    """Pixels (H,W) uint8 or uint16 as an uncompressed DICOM file."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    header.Modality, header.PatientID = "MG", path.parts[-4]
    header.Rows, header.Columns = pixels.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = pixels.dtype.itemsize * 8
    header.HighBit, header.PixelRepresentation = header.BitsStored - 1, 0
    header.PixelData = pixels.tobytes()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)
    return path


def grey(height: int, width: int, seed: int = 0) -> NDArray[np.uint16]:
    random = np.random.default_rng(seed)
    return random.integers(0, 65535, (height, width), np.uint16, endpoint=True)


def mask(height: int, width: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
    pixels = np.zeros((height, width), np.uint8)
    pixels[rows, columns] = 255
    return pixels


def write_film(tree: Path, case: str, size: tuple[int, int] = (60, 40)) -> Path:
    series = "07-20-2016-DDSM-NA-42211/1.000000-full mammogram images-24515"
    return dicom(tree / case / series / "1-1.dcm", grey(*size, seed=len(case)))


def write_region(tree: Path, region: str, pixels: NDArray[np.uint8], mask_first: bool) -> None:
    """The mask and the crop in one series; which of them comes first differs in the real data."""
    series = tree / region / "07-21-2016-DDSM-NA-39106" / "1.000000-ROI mask images-05650"
    for name, is_mask in (("1-1.dcm", mask_first), ("1-2.dcm", not mask_first)):
        dicom(series / name, pixels if is_mask else grey(12, 9))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four films of two patients; one of them is named in the mass and the calcification tables."""
    folder = tmp_path / "manifest-ZkhPvrLo5216730872708713142"
    tree = folder / "CBIS-DDSM"
    for case in (
        "Mass-Training_P_00001_LEFT_CC",
        "Mass-Training_P_00001_LEFT_MLO",
        "Calc-Test_P_00001_LEFT_CC",
        "Calc-Training_P_00005_RIGHT_CC",
    ):
        write_film(tree, case)
    square = mask(60, 40, slice(10, 15), slice(20, 25))
    write_region(tree, "Mass-Training_P_00001_LEFT_CC_1", square, mask_first=False)
    write_region(tree, "Mass-Training_P_00001_LEFT_MLO_1", square, mask_first=True)
    low = mask(60, 40, slice(50, 51), slice(0, 3))
    write_region(tree, "Mass-Training_P_00001_LEFT_MLO_2", low, mask_first=False)
    write_region(tree, "Calc-Test_P_00001_LEFT_CC_1", low, mask_first=True)
    write_region(tree, "Calc-Training_P_00005_RIGHT_CC_1", square, mask_first=True)
    (folder / "mass_case_description_train_set.csv").write_text(
        MASS
        + row("Mass-Training_P_00001_LEFT_CC", "BENIGN")
        + row("Mass-Training_P_00001_LEFT_MLO", "BENIGN")
        + row("Mass-Training_P_00001_LEFT_MLO", "MALIGNANT", 2)
    )
    (folder / "calc_case_description_test_set.csv").write_text(
        CALC + row("Calc-Test_P_00001_LEFT_CC", "MALIGNANT")
    )
    (folder / "calc_case_description_train_set.csv").write_text(
        CALC + row("Calc-Training_P_00005_RIGHT_CC", "BENIGN_WITHOUT_CALLBACK")
    )
    return folder


def imported(source: Path) -> Imported:
    return import_data_set("cbis-ddsm", source, source.parent / "raw")


def left_out(done: Imported) -> dict[str, str]:
    return {one.name: one.reason for one in done.left_out}


def circles(raw: Path) -> dict[str, list[tuple[float, float, float]]]:
    return {
        file: [(lesion.x, lesion.y, lesion.radius) for lesion in lesions]
        for file, lesions in read_lesions(raw).items()
    }


def test_each_film_is_one_image_with_its_worst_pathology(source: Path, tmp_path: Path) -> None:
    """P_00001 LEFT CC is benign as a mass and malignant as a calcification: one Positive film."""
    done = imported(source)
    assert done.summary() == "1 Negative, 2 Positive of 2 patients, 5 lesion(s)"
    raw = tmp_path / "raw"
    assert sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*.dcm")) == [
        "Negative/P_00005_RIGHT_CC.dcm",
        "Positive/P_00001_LEFT_CC.dcm",
        "Positive/P_00001_LEFT_MLO.dcm",
    ]
    (original,) = (source / "CBIS-DDSM/Mass-Training_P_00001_LEFT_CC").rglob("*.dcm")
    assert (raw / "Positive/P_00001_LEFT_CC.dcm").read_bytes() == original.read_bytes()


def test_a_patient_has_one_id_in_the_mass_and_calcification_sets(
    source: Path, tmp_path: Path
) -> None:
    imported(source)
    identities = identities_of(tmp_path / "raw", None)
    assert identities.of("Positive/P_00001_LEFT_CC.dcm") == Identity(
        patient="P_00001", view=View.CC, laterality=Laterality.L, density="3"
    )
    assert identities.of("Positive/P_00001_LEFT_MLO.dcm").patient == "P_00001"
    with (tmp_path / "raw" / "metadata.csv").open(newline="") as stream:
        assert {row["source"] for row in csv.DictReader(stream)} == {"CBIS-DDSM"}


def test_lesions_come_from_the_masks_whichever_file_the_mask_is(
    source: Path, tmp_path: Path
) -> None:
    imported(source)
    square = (22, 12, pytest.approx(np.hypot(2, 2) + 0.5, abs=0.01))
    low = (1, 50, 1.5)
    assert circles(tmp_path / "raw") == {
        "Positive/P_00001_LEFT_CC.dcm": [square, low],
        "Positive/P_00001_LEFT_MLO.dcm": [square, low],
        "Negative/P_00005_RIGHT_CC.dcm": [square],
    }


def test_the_tables_own_paths_are_found_too(source: Path) -> None:
    """Some copies keep <case>/<study UID>/<series UID>/000000.dcm."""
    for path in list((source / "CBIS-DDSM").rglob("*.dcm")):
        case = next(part for part in path.parts if part.startswith(("Mass-", "Calc-")))
        name = f"{int(path.stem[-1]) - 1:06}.dcm"
        target = source / "DDSM" / case / STUDY / SERIES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    done = imported(source)
    assert (done.films, done.lesions, done.left_out) == ({"Negative": 1, "Positive": 2}, 5, ())


def test_of_several_images_in_a_films_folder_that_of_its_series_is_taken(
    source: Path, tmp_path: Path
) -> None:
    case = source / "CBIS-DDSM" / "Calc-Training_P_00005_RIGHT_CC"
    (film,) = case.rglob("*.dcm")
    dicom(case / "01-01-2000-DDSM-NA-00000" / "1.000000-other-00000" / "1-1.dcm", grey(9, 9))
    assert imported(source).left_out == ()
    copied = tmp_path / "raw" / "Negative" / "P_00005_RIGHT_CC.dcm"
    assert copied.read_bytes() == film.read_bytes()


def test_what_cannot_be_found_is_left_out_by_name(source: Path) -> None:
    tree = source / "CBIS-DDSM"
    (film,) = (tree / "Mass-Training_P_00001_LEFT_MLO").rglob("*.dcm")
    film.unlink()
    (region,) = (tree / "Mass-Training_P_00001_LEFT_CC_1").rglob("1-2.dcm")
    region.unlink()
    for path in (tree / "Calc-Training_P_00005_RIGHT_CC_1").rglob("*.dcm"):
        path.unlink()
    done = imported(source)
    assert (done.films, done.lesions) == ({"Negative": 1, "Positive": 1}, 1)
    assert left_out(done) == {
        "P_00001_LEFT_MLO": "no image in a folder Mass-Training_P_00001_LEFT_MLO",
        "lesion Mass-Training_P_00001_LEFT_CC_1": (
            "no mask of the film's shape (40x60); its folder holds 9x12"
        ),
        "lesion Calc-Training_P_00005_RIGHT_CC_1": (
            "ROI mask file path 'Calc-Training_P_00005_RIGHT_CC_1': no such folder of this film"
        ),
    }


def test_a_film_that_one_set_lacks_is_taken_from_the_other(source: Path) -> None:
    (film,) = (source / "CBIS-DDSM" / "Mass-Training_P_00001_LEFT_CC").rglob("*.dcm")
    film.unlink()
    done = imported(source)
    assert (done.films, done.left_out) == ({"Negative": 1, "Positive": 2}, ())


def test_a_film_among_several_unknown_ones_is_left_out(source: Path) -> None:
    case = source / "CBIS-DDSM" / "Calc-Training_P_00005_RIGHT_CC"
    (film,) = case.rglob("*.dcm")
    film.rename(case / "one.dcm")
    dicom(case / "two.dcm", grey(9, 9))
    table = source / "calc_case_description_train_set.csv"
    benign = row("Mass-Training_P_00009_LEFT_CC", "BENIGN")
    write_film(source / "CBIS-DDSM", "Mass-Training_P_00009_LEFT_CC")
    table.write_text(table.read_text() + benign.replace("mass,", "calcification,"))
    assert left_out(imported(source))["P_00005_RIGHT_CC"] == (
        "Calc-Training_P_00005_RIGHT_CC holds 2 images, not one of the film's series"
    )


def test_columns_with_underscores_and_backslashes_in_paths_are_read(source: Path) -> None:
    table = source / "mass_case_description_train_set.csv"
    head, rest = table.read_text().split("\n", 1)
    table.write_text(head.replace(" ", "_") + "\n" + rest.replace("/", "\\"))
    assert imported(source).left_out == ()


FIRST = row("Mass-Training_P_00001_LEFT_CC", "BENIGN")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            MASS.replace("pathology,", ""),
            r"train_set\.csv lacks the column\(s\) pathology; it has patient_id, breast_density",
        ),
        (
            MASS + FIRST.replace("BENIGN", "UNPROVEN"),
            "line 3: pathology 'UNPROVEN' is none of MALIGNANT, BENIGN, BENIGN_WITHOUT_CALLBACK",
        ),
        (
            MASS + FIRST.replace("Mass-Training_P_00001_LEFT_CC/", "../../etc/", 1),
            r"line 3: image file path '\.\./\.\./etc/.* begins with no case folder",
        ),
        (
            MASS + FIRST.replace("Mass-Training_P_00001_LEFT_CC/", "/etc/", 1),
            "image file path '/etc/.* begins with no case folder",
        ),
        (
            MASS + FIRST.replace(",LEFT,", ",RIGHT,", 1),
            "image file path is of P_00001_LEFT_CC, but the row is of P_00001_RIGHT_CC; correct",
        ),
        (
            MASS + FIRST.replace("P_00001,", "P_00002,", 1),
            "image file path is of P_00001_LEFT_CC, but the row is of P_00002_LEFT_CC",
        ),
    ],
)
def test_faulty_tables_are_refused_with_the_line_and_nothing_is_written(
    source: Path, text: str, says: str
) -> None:
    (source / "mass_case_description_train_set.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        imported(source)
    assert not (source.parent / "raw").exists()


def test_a_mask_path_that_leads_elsewhere_is_never_followed(source: Path, tmp_path: Path) -> None:
    table = source / "calc_case_description_train_set.csv"
    region = "Calc-Training_P_00005_RIGHT_CC_1"
    for other in ("../../secret", "/etc", "Mass-Training_P_00001_LEFT_CC_1"):
        table.write_text(
            CALC
            + row("Calc-Training_P_00005_RIGHT_CC", "BENIGN").replace(f'"{region}/', f'"{other}/')
        )
        done = import_data_set("cbis-ddsm", source, tmp_path / other.replace("/", "_"))
        (reason,) = left_out(done).values()
        assert reason.endswith("no such folder of this film")


def test_a_linked_file_from_outside_counts_as_not_there(source: Path, tmp_path: Path) -> None:
    (film,) = (source / "CBIS-DDSM" / "Mass-Training_P_00001_LEFT_MLO").rglob("*.dcm")
    film.rename(tmp_path / "elsewhere.dcm")
    film.symlink_to(tmp_path / "elsewhere.dcm")
    assert "P_00001_LEFT_MLO" in left_out(imported(source))


def test_a_folder_without_tables_or_without_films_is_refused(source: Path) -> None:
    for path in (source / "CBIS-DDSM").rglob("*.dcm"):
        path.unlink()
    with pytest.raises(DataError, match="holds none of the 3 films that mass_case_description_tra"):
        imported(source)
    for path in source.glob("*.csv"):
        path.unlink()
    with pytest.raises(DataError, match=r"holds none of mass_case_description_train_set\.csv, "):
        imported(source)


def test_a_table_that_is_there_twice_is_refused(source: Path) -> None:
    (source / "csv").mkdir()
    (source / "csv" / "calc_case_description_train_set.csv").write_text(CALC)
    with pytest.raises(DataError, match=r"calc_case_description_train_set\.csv is there twice"):
        imported(source)


def test_a_smaller_mask_of_the_films_shape_is_scaled_to_the_film(tmp_path: Path) -> None:
    """Masks of Mass-Test_P_00145 and others are 0.87 times their films in both directions."""
    film = dicom(tmp_path / "case/study/series/1-1.dcm", grey(300, 200))
    crop = dicom(tmp_path / "case_1/study/series/1-1.dcm", grey(30, 21))
    small = mask(150, 100, slice(40, 42), slice(10, 12))
    found = circle_of([crop, dicom(tmp_path / "case_1/study/series/1-2.dcm", small)], film)
    assert (found.x, found.y) == (21.5, 81.5)
    assert found.radius == pytest.approx(np.hypot(1, 1) + 1, abs=0.01)


def test_the_mask_may_be_a_png_and_a_grey_picture_of_the_films_size_is_none(
    tmp_path: Path,
) -> None:
    film = dicom(tmp_path / "case/study/series/1-1.dcm", grey(60, 40))
    wrong = dicom(tmp_path / "case_1/study/series/1-1.dcm", grey(60, 40, seed=3))
    right = tmp_path / "case_1" / "mask.png"
    right.write_bytes(encoded(mask(60, 40, slice(7, 8), slice(5, 6))))
    found = circle_of([wrong, right], film)
    assert (found.x, found.y, found.radius) == (5, 7, 0.5)


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (np.zeros((60, 40), np.uint8), r"no mask of the film's shape \(40x60\); .* holds 40x60"),
        (mask(60, 41, slice(5), slice(5)), r"its folder holds 41x60"),
    ],
)
def test_an_empty_mask_or_one_of_another_film_is_refused(
    tmp_path: Path, pixels: NDArray[np.uint8], says: str
) -> None:
    film = dicom(tmp_path / "case/study/series/1-1.dcm", grey(60, 40))
    with pytest.raises(ImageRejected, match=says):
        circle_of([dicom(tmp_path / "case_1/study/series/1-1.dcm", pixels)], film)


def test_a_damaged_mask_costs_its_lesion_and_not_the_film(source: Path) -> None:
    (path,) = (source / "CBIS-DDSM" / "Calc-Training_P_00005_RIGHT_CC_1").rglob("1-1.dcm")
    path.write_bytes(b"no DICOM at all")
    done = imported(source)
    assert done.films == {"Negative": 1, "Positive": 2}
    assert "1-1.dcm cannot be read" in left_out(done)["lesion Calc-Training_P_00005_RIGHT_CC_1"]
