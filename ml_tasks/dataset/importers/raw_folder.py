"""The raw folder that every importer writes: films by class, metadata.csv and lesions.csv."""

from __future__ import annotations

import csv
import io
import logging
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_tasks.dataset.lesions import LESIONS, Circle, Lesion, write_lesions
from ml_tasks.dataset.manifest import write_rows
from ml_tasks.dataset.patients import METADATA, Laterality, View
from ml_tasks.errors import DataError
from ml_tasks.progress import counted
from ml_tasks.records import Record
from ml_tasks.storage import replaced_directory, write_bytes

log = logging.getLogger(__name__)
NOT_IMPORTED = "not_imported.csv"
POSITIVE, NEGATIVE = "Positive", "Negative"


@dataclass(frozen=True)
class Film:
    """A file to copy to <label>/<name>; `about` holds the other columns of metadata.csv."""

    source: Path
    label: str
    name: str
    about: Mapping[str, str]
    lesions: tuple[Circle, ...] = ()

    @property
    def path(self) -> str:
        return f"{self.label}/{self.name}"


class LeftOut(Record):
    """Something that the data set's tables name and that was not imported."""

    name: str
    reason: str


@dataclass(frozen=True)
class Imported:
    """What an importer wrote: films by class, patients, lesions with coordinates, and the rest."""

    films: dict[str, int]
    patients: int
    lesions: int
    left_out: tuple[LeftOut, ...] = ()

    def summary(self) -> str:
        counts = ", ".join(f"{count} {label}" for label, count in self.films.items())
        lesions = f", {self.lesions} lesion(s)" if self.lesions else ""
        left = f"; {len(self.left_out)} left out, see {NOT_IMPORTED}" if self.left_out else ""
        return f"{counts} of {self.patients} patients{lesions}{left}"


def about(
    patient: str, view: View | None, laterality: Laterality | None, data_set: str, **more: str
) -> dict[str, str]:
    """The columns of metadata.csv that a known data set gives.

    `more` are density, site or age_band, by which figures are then told for each value apart.
    """
    return {
        "patient_id": patient,
        "view": view or "",
        "laterality": laterality or "",
        "source": data_set,
        **more,
    }


def write_raw_folder(
    films: Sequence[Film], output: Path, tables: str, left_out: Sequence[LeftOut] = ()
) -> Imported:
    """Copies the films to `output`/<Class>/ and writes its tables, all or nothing.

    lesions.csv is written where any film has lesions, not_imported.csv where something was left
    out. The files are copied, not linked: a link would let a change here reach the original.

    Raises:
        DataError: not exactly two classes, or two films of one name; `tables` says what names them.
        StorageError: `output` holds files already, or there is no space left.
    """
    _check(films, tables)
    lesions = [
        Lesion(file=film.path, **circle.model_dump()) for film in films for circle in film.lesions
    ]
    with replaced_directory(output, owned=lambda _: False) as work:
        for film in counted(films, len(films), "imported", log):
            (work / film.label).mkdir(exist_ok=True)
            shutil.copyfile(film.source, work / film.path)
        write_bytes(work / METADATA, _metadata(films))
        if lesions:
            write_lesions(work / LESIONS, lesions)
        if left_out:
            write_rows(work / NOT_IMPORTED, left_out, LeftOut)
    return Imported(
        films=dict(sorted(Counter(film.label for film in films).items())),
        patients=len({film.about["patient_id"] for film in films}),
        lesions=len(lesions),
        left_out=tuple(left_out),
    )


def inside(folder: Path, path: Path) -> bool:
    """Whether `path` is a file that lies in `folder`, links followed."""
    try:
        return path.is_file() and path.resolve().is_relative_to(folder.resolve())
    except OSError:  # a name that no file can have
        return False


def _check(films: Sequence[Film], tables: str) -> None:
    classes = sorted({film.label for film in films})
    if len(classes) != 2:
        raise DataError(
            f"{tables} holds {len(classes)} label(s) ({', '.join(classes) or 'none'}); "
            "exactly two classes are needed"
        )
    repeated = [path for path, count in Counter(f.path for f in films).items() if count > 1]
    if repeated:
        raise DataError(
            f"{tables}: {len(repeated)} file name(s) appear twice in one class, e.g. "
            f"{repeated[0]}; give the files names of their own"
        )


def _metadata(films: Sequence[Film]) -> bytes:
    text = io.StringIO()
    columns = ("file", "label", *films[0].about)
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"file": f.path, "label": f.label, **f.about} for f in films)
    return text.getvalue().encode()
