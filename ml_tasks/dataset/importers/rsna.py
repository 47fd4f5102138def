"""RSNA Screening Mammography Breast Cancer Detection (Kaggle 2022): train.csv and train_images/."""

from __future__ import annotations

from pathlib import Path

from ml_tasks.dataset.importers.raw_folder import (
    NEGATIVE,
    POSITIVE,
    Film,
    Imported,
    LeftOut,
    about,
    inside,
    write_raw_folder,
)
from ml_tasks.dataset.patients import laterality_of, view_of
from ml_tasks.dataset.table import Table, TableRow, read_table
from ml_tasks.errors import DataError

COLUMNS = ("patient_id", "image_id", "laterality", "view", "cancer")
SUFFIXES = (".dcm", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
IMAGES = "train_images"


def import_rsna(source: Path, output: Path) -> Imported:
    """Breasts with cancer become Positive, the others Negative.

    `source` holds train.csv and train_images/<patient_id>/<image_id>.dcm; converted copies may be
    .png, .jpg or .tif, also as train_images/<patient_id>_<image_id>.png. test.csv has no labels and
    is passed over. The data set has no coordinates of lesions.

    Raises:
        DataError: no train.csv, a column or value that is not the data set's, or no image at all.
        StorageError: `output` holds files already, or there is no space left.
    """
    if not (source / "train.csv").is_file():
        raise DataError(f"{source} holds no train.csv; name the folder that holds it and {IMAGES}/")
    table = read_table(source / "train.csv", COLUMNS)
    films, left_out = [], []
    for row in table.rows:
        name = _name(table, row)
        path = _image(source / IMAGES, row)
        if path is None:
            left_out.append(LeftOut(name=name, reason=f"not in {IMAGES}/"))
        else:
            films.append(_film(table, row, name, path))
    if not films:
        raise DataError(
            f"none of the {len(table.rows)} images of {table.path} is in {source / IMAGES}; "
            f"{IMAGES}/<patient_id>/<image_id>.dcm was looked for"
        )
    return write_raw_folder(films, output, str(table.path), left_out)


def _name(table: Table, row: TableRow) -> str:
    for column in ("patient_id", "image_id"):
        # They become file names: digits cannot lead out of a folder.
        if not (row[column].isascii() and row[column].isdigit()):
            raise table.problem(row, f"{column} {row[column]!r} is no number")
    return f"{row['patient_id']}_{row['image_id']}"


def _image(images: Path, row: TableRow) -> Path | None:
    patient, image = row["patient_id"], row["image_id"]
    for stem in (f"{patient}/{image}", f"{patient}_{image}"):
        for suffix in SUFFIXES:
            path = images / f"{stem}{suffix}"
            if inside(images, path):
                return path
    return None


def _film(table: Table, row: TableRow, name: str, path: Path) -> Film:
    if row["cancer"] not in ("0", "1"):
        raise table.problem(row, f"cancer {row['cancer']!r} is neither 0 nor 1")
    try:
        view, laterality = view_of(row["view"]), laterality_of(row["laterality"])
    except DataError as error:
        raise table.problem(row, str(error)) from None
    return Film(
        source=path,
        label=POSITIVE if row["cancer"] == "1" else NEGATIVE,
        name=name + path.suffix,
        about=about(
            row["patient_id"],
            view,
            laterality,
            "RSNA",
            density=row["density"],
            site=row["site_id"],
            age_band=_decade(row["age"]),
        ),
    )


def _decade(age: str) -> str:
    """An age in years as the ten years that it lies in; empty where it is not told."""
    try:
        begin = int(float(age)) // 10 * 10
    except (ValueError, OverflowError):
        return ""
    return f"{begin}-{begin + 9}"
