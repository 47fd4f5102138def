"""Any folder of images with a table that says each file's class and patient."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ml_tasks.dataset.importers.raw_folder import (
    NOT_IMPORTED,
    Film,
    Imported,
    inside,
    write_raw_folder,
)
from ml_tasks.dataset.lesions import LESIONS
from ml_tasks.dataset.patients import METADATA
from ml_tasks.dataset.table import Table, TableRow, read_table
from ml_tasks.errors import DataError

REQUIRED = ("file", "label", "patient_id")


def import_images(images: Path, labels: Path, output: Path) -> Imported:
    """Copies `images`/<file> to `output`/<label>/<name> and writes metadata.csv.

    `labels` is a CSV with the columns file, label, patient_id; any others are carried along. Files
    are found below `images`, or below the folder of `labels` where `file` starts there.

    Raises:
        DataError: a missing column, file or value, a repeated name, or a number of classes but two.
        StorageError: `output` holds files already, or there is no space left.
    """
    if not labels.is_file():
        raise DataError(f"the labels file {labels} does not exist")
    table = read_table(labels, REQUIRED)
    films = [_film(table, row, images) for row in table.rows]
    return write_raw_folder(films, output, str(labels))


def _film(table: Table, row: TableRow, images: Path) -> Film:
    empty = [name for name in REQUIRED if not row[name]]
    if empty:
        raise table.problem(row, f"{', '.join(empty)} is empty")
    label = row["label"]
    if not _is_folder_name(label):
        raise table.problem(row, f"label {label!r} is no folder name")
    others = [name for name in table.columns if name not in ("file", "label")]
    return Film(
        source=_source(images, table.path, row["file"]),
        label=label,
        name=PurePosixPath(row["file"]).name,
        about={name: row[name] for name in others},
    )


def _is_folder_name(label: str) -> bool:
    taken = label in (METADATA, LESIONS, NOT_IMPORTED)
    fits = len(label.encode()) <= 255
    return fits and not taken and not label.startswith(".") and not {"/", "\0"} & set(label)


def _source(images: Path, labels: Path, file: str) -> Path:
    for folder in (images, labels.parent):
        if inside(folder, folder / file):
            return folder / file
    raise DataError(f"{labels} names {file}, but there is no such file below {images}")
