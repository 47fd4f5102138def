"""The manifest: one row for each file of the raw folder, the snapshot that a run works on."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from ml_tasks.records import Record, Split
from ml_tasks.storage import write_bytes

Row = TypeVar("Row", bound=Record)


# By which figures are told apart; metadata.csv or the header may know them.
ATTRIBUTES = ("view", "laterality", "density", "manufacturer", "site", "age_band", "implant")


class ManifestRow(Record):
    """One raw file; figures are empty where it could not be read."""

    path: str  # below the raw folder, with forward slashes
    label: str  # the class folder
    patient: str = ""
    bytes: int
    sha256: str = ""  # of the file
    status: str = "ok"  # or "quarantined"
    reason: str = ""
    format: str = ""
    width: int | None = None
    height: int | None = None
    mode: str = ""
    bit_depth: int | None = None
    pixel_sha256: str = ""  # of the decoded grey pixels
    brightness: float | None = None  # mean grey level, 0-255
    contrast: float | None = None  # standard deviation of the grey levels
    saturation: float | None = None  # share of the breast at the end of the grey scale
    sharpness: float | None = None
    breast_share: float | None = None  # of the film
    label_blobs: int | None = None  # bodies beside the breast
    inverted: bool | None = None  # white background
    framed: bool | None = None
    chest_wall: str = ""  # the side it stands at: left or right
    view: str = ""  # CC, MLO, ...
    laterality: str = ""  # L or R, as metadata.csv or the header says
    laterality_mismatch: bool | None = None  # chest wall at the other side than laterality says
    manufacturer: str = ""
    body_part: str = ""
    implant: bool | None = None
    density: str = ""  # these three as metadata.csv writes them
    site: str = ""
    age_band: str = ""
    burned_in_annotation: bool | None = None  # the header says that text stands in the pixels
    near_duplicate_of: str = ""  # the first file of a group that shows the same film

    @property
    def usable(self) -> bool:
        return self.status == "ok"

    def aside(self, reason: str) -> ManifestRow:
        """The row set aside, with the reason for people."""
        return self.model_copy(update={"status": "quarantined", "reason": reason})


class IndexRow(Record):
    """One cleaned picture; `copies` is how often an epoch of training shows it."""

    file: str  # below the cleaned folder
    raw: str  # below the raw folder
    label: str
    patient: str
    split: Split
    raw_sha256: str
    copies: int = 1
    # What is known of the image; figures are told for each value apart.
    view: str = ""
    laterality: str = ""
    manufacturer: str = ""
    implant: bool | None = None
    density: str = ""
    site: str = ""
    age_band: str = ""


def write_rows(path: Path, rows: Sequence[Record], kind: type[Record]) -> str:
    """Writes records as CSV and gives the file's hex SHA-256."""
    data = as_csv(rows, kind)
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def as_csv(rows: Sequence[Record], kind: type[Record]) -> bytes:
    """Records as the bytes of a CSV file, a column for each field of their kind."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, fieldnames=list(kind.model_fields), lineterminator="\n", quoting=csv.QUOTE_ALL
    )
    writer.writeheader()
    writer.writerows(row.model_dump(mode="json") for row in rows)
    return text.getvalue().encode()


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Reads records back from CSV; an empty field takes the record's default."""
    with path.open(newline="") as stream:
        return [
            kind.model_validate({key: value for key, value in row.items() if value != ""})
            for row in csv.DictReader(stream)
        ]


def class_counts(rows: Iterable[ManifestRow | IndexRow]) -> dict[str, int]:
    """How many rows each class has, by class name."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.label] = counts.get(row.label, 0) + 1
    return dict(sorted(counts.items()))
