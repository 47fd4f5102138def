"""Who is on the picture and how it was taken: metadata.csv, else the file name, else the header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from ml_tasks.dataset.table import Table, TableRow, read_table
from ml_tasks.errors import DataError
from ml_tasks.imaging.header import ImageHeader
from ml_tasks.records import Record

METADATA = "metadata.csv"
_SHORT = 40  # characters of a value that names a slice of the figures


class View(StrEnum):
    """How the breast was taken: DICOM PS3.16, context group 4014, and AT of group 4015.

    AT modifies a view there; RSNA's data set writes it as a view of its own.
    """

    CC = "CC"  # cranio-caudal
    MLO = "MLO"  # medio-lateral oblique
    ML = "ML"
    LM = "LM"
    LMO = "LMO"
    FB = "FB"  # caudo-cranial, "from below"
    SIO = "SIO"
    ISO = "ISO"
    XCC = "XCC"  # exaggerated cranio-caudal
    XCCL = "XCCL"
    XCCM = "XCCM"
    AT = "AT"  # axillary tail


class Laterality(StrEnum):
    """Which breast."""

    L = "L"
    R = "R"


class Identity(Record):
    """What is known of one picture; None: not known."""

    patient: str | None = None
    view: View | None = None
    laterality: Laterality | None = None
    density: str = Field("", max_length=_SHORT)
    site: str = Field("", max_length=_SHORT)
    age_band: str = Field("", max_length=_SHORT)


UNKNOWN = Identity()
_FREE = ("density", "site", "age_band")
_SIDES = {"L": Laterality.L, "LEFT": Laterality.L, "R": Laterality.R, "RIGHT": Laterality.R}


def view_of(text: str) -> View | None:
    """A view as people write it, in any case; None for an empty text.

    Raises:
        DataError: no such view.
    """
    word = text.strip().upper()
    if not word:
        return None
    if word not in View.__members__:
        raise DataError(f"view {text!r} is not known; allowed are {', '.join(View)}")
    return View(word)


def laterality_of(text: str) -> Laterality | None:
    """L, R, LEFT or RIGHT, in any case; None for an empty text.

    Raises:
        DataError: something else.
    """
    word = text.strip().upper()
    if not word:
        return None
    if word not in _SIDES:
        raise DataError(f"laterality {text!r} is not known; allowed are L, R, LEFT, RIGHT")
    return _SIDES[word]


def header_identity(pseudonym: str | None, header: ImageHeader) -> Identity:
    """What a DICOM header tells; a view or laterality that is not one of ours counts as unknown.

    `pseudonym` stands for the header's patient id, which nobody outside the decoder sees.
    """
    view, side = header.view.strip().upper(), header.laterality.strip().upper()
    return Identity(
        patient=pseudonym or None,
        view=View(view) if view in View.__members__ else None,
        laterality=_SIDES.get(side),
    )


@dataclass(frozen=True)
class Identities:
    """The identity of each file of a raw folder.

    `known` holds the rows of metadata.csv by file; None where there is no metadata.csv.
    """

    metadata: Path
    known: Mapping[str, Identity] | None
    pattern: re.Pattern[str] | None

    def of(self, path: str, header: Identity = UNKNOWN) -> Identity:
        """The identity of the file `path` (below the raw folder, with forward slashes).

        The patient is that of metadata.csv, else of the pattern, else `header`'s: what a DICOM
        header tells, its patient id already replaced by a pseudonym. With none of them it is None:
        the caller then takes near-duplicates as one patient. View and laterality are those of
        metadata.csv, else the header's.

        Raises:
            DataError: metadata.csv has no row for the file, or the pattern finds no patient in its
                name and the header has none.
        """
        if self.known is not None:
            row = self._row(path)
            return row.model_copy(
                update={
                    "view": row.view or header.view,
                    "laterality": row.laterality or header.laterality,
                }
            )
        patient = self._from_name(path)
        if patient is None and self.pattern is not None and header.patient is None:
            raise DataError(
                f"{path}: data.patient_pattern {self.pattern.pattern!r} finds no patient in this "
                f"file name; mend the pattern or list the patients in {self.metadata}"
            )
        return header.model_copy(update={"patient": patient or header.patient})

    def lost(self, files: Iterable[str]) -> str:
        """A warning about the rows of metadata.csv whose file is not there; empty if there is none.

        `files` are those that are there, below the raw folder, with forward slashes.
        """
        lost = sorted(set(self.known or ()) - set(files))
        if not lost:
            return ""
        shown = ", ".join(lost[:3]) + (" and others" if len(lost) > 3 else "")
        return (
            f"{len(lost)} row(s) of {METADATA} name files that are not there ({shown}): put the "
            "files there, correct the names, or take the rows out"
        )

    def _row(self, path: str) -> Identity:
        assert self.known is not None
        if path not in self.known:
            raise DataError(
                f"{path} has no row in {self.metadata}; add one with its patient_id, "
                "so that no patient lands in two splits"
            )
        return self.known[path]

    def _from_name(self, path: str) -> str | None:
        found = None if self.pattern is None else self.pattern.search(Path(path).name)
        return None if found is None else found.group(1) or None


def identities_of(raw: Path, pattern: str | None) -> Identities:
    """The identities of a raw folder, from its metadata.csv and data.patient_pattern.

    metadata.csv has the columns file and patient_id, and may have label, view, laterality, density,
    site and age_band; any others are passed over.

    Raises:
        DataError: metadata.csv lacks a column, repeats a file, contradicts the folders, or holds an
            unknown view or laterality.
    """
    metadata = raw / METADATA
    known = _read_metadata(metadata) if metadata.exists() else None
    return Identities(metadata, known, None if pattern is None else re.compile(pattern))


def unknown_patients(files: int, patients: int) -> str:
    """The warning of a report where `files` have no patient and were taken as `patients`."""
    return (
        f"no {METADATA} and no data.patient_pattern: the patients of {files} files are guessed. "
        f"Files that look alike count as one patient, every other file as a patient of its own: "
        f"{patients} in all. If a patient has several pictures, the test figures will be too good"
    )


def _read_metadata(path: Path) -> dict[str, Identity]:
    table = read_table(path, ("file", "patient_id"))
    identities: dict[str, Identity] = {}
    for row in table.rows:
        file, label = row["file"], row["label"]
        if not file or not row["patient_id"]:
            raise table.problem(row, "`file` and `patient_id` must not be empty")
        if file in identities:
            raise table.problem(row, f"{file} is listed twice; keep one row")
        if label and label != file.split("/")[0]:
            raise table.problem(
                row,
                f"{file} lies in the folder of another class than its label {label!r}; "
                "move the file or mend the row",
            )
        identities[file] = _identity(table, row)
    return identities


def _identity(table: Table, row: TableRow) -> Identity:
    for name in _FREE:
        if len(row[name]) > _SHORT:
            raise table.problem(row, f"{name} has more than {_SHORT} characters; shorten it")
    try:
        return Identity(
            patient=row["patient_id"],
            view=view_of(row["view"]),
            laterality=laterality_of(row["laterality"]),
            **{name: row[name] for name in _FREE},
        )
    except DataError as error:
        raise table.problem(row, str(error)) from None
