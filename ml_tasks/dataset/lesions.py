"""lesions.csv of a raw folder: where each annotated abnormality lies, in the film's own pixels."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from ml_tasks.dataset.table import Table, TableRow, read_table
from ml_tasks.records import Record
from ml_tasks.storage import write_bytes

LESIONS = "lesions.csv"
COLUMNS = ("file", "x", "y", "radius")


class Circle(Record):
    """A circle around an abnormality, in pixels: (0, 0) is the centre of the first pixel."""

    x: float = Field(ge=-0.5)  # from the left
    y: float = Field(ge=-0.5)  # from the top
    radius: float = Field(gt=0)


class Lesion(Circle):
    """An abnormality on the film `file` (below the raw folder, with forward slashes)."""

    file: str = Field(min_length=1)


def read_lesions(raw: Path) -> dict[str, tuple[Lesion, ...]]:
    """The lesions of a raw folder by file, in the order of lesions.csv; empty where there is none.

    Raises:
        DataError: lesions.csv lacks a column, or a value is no coordinate; the line is named.
    """
    if not (raw / LESIONS).exists():
        return {}
    table = read_table(raw / LESIONS, COLUMNS)
    found: dict[str, tuple[Lesion, ...]] = {}
    for row in table.rows:
        lesion = _lesion(table, row)
        found[lesion.file] = (*found.get(lesion.file, ()), lesion)
    return found


def unknown_files(lesions: Mapping[str, object], files: Collection[str]) -> str | None:
    """A warning that names the files of lesions.csv which are not among `files`; None: all are."""
    unknown = sorted(file for file in lesions if file not in files)
    if not unknown:
        return None
    return (
        f"{LESIONS} names {len(unknown)} file(s) that are not there, e.g. {unknown[0]}; "
        "their lesions are passed over"
    )


def write_lesions(path: Path, lesions: Iterable[Lesion]) -> None:
    """Writes lesions.csv.

    Raises:
        StorageError: no space left or not writable.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lesion.model_dump() for lesion in lesions)
    write_bytes(path, text.getvalue().encode())


def _lesion(table: Table, row: TableRow) -> Lesion:
    try:
        return Lesion.model_validate({name: row[name] for name in COLUMNS})
    except ValidationError as error:
        column = str(error.errors()[0]["loc"][0])
        raise table.problem(
            row,
            f"{column} is {row[column]!r}; file, x, y and radius are needed, in pixels of the film "
            "from its left and top, the radius above 0",
        ) from None
