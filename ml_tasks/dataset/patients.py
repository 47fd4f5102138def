"""Who is on the picture: metadata.csv, else a pattern in the file name, else each file alone."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ml_tasks.errors import DataError

METADATA = "metadata.csv"


def patients_of(raw: Path, pattern: str | None) -> tuple[Callable[[str], str], tuple[str, ...]]:
    """A function from a file's path below `raw` to its patient, and warnings for the report.

    Raises:
        DataError: metadata.csv lacks a column, repeats a file, or contradicts the folders; the
            returned function raises it for a file that metadata.csv or the pattern does not cover.
    """
    metadata = raw / METADATA
    if metadata.exists():
        known = _read_metadata(metadata)

        def from_metadata(path: str) -> str:
            if path not in known:
                raise DataError(
                    f"{path} has no row in {metadata}; add one with its patient_id, "
                    "so that no patient lands in two splits"
                )
            return known[path]

        return from_metadata, ()
    if pattern is not None:
        expression = re.compile(pattern)

        def from_name(path: str) -> str:
            found = expression.search(Path(path).name)
            if found is None or not found.group(1):
                raise DataError(
                    f"{path}: data.patient_pattern {pattern!r} finds no patient in this file name; "
                    f"mend the pattern or list the patients in {metadata}"
                )
            return found.group(1)

        return from_name, ()
    warning = (
        f"no {METADATA} and no data.patient_pattern: each file counts as a patient of its own. "
        "If a patient has several pictures, the test figures will be too good"
    )
    return lambda path: path, (warning,)


@contextmanager
def table(path: Path) -> Iterator[csv.DictReader[str]]:
    """The rows of a CSV file that a person wrote.

    Raises:
        DataError: the file is no UTF-8 text, or no CSV.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            yield csv.DictReader(stream)
    except UnicodeDecodeError:
        raise DataError(f"{path} is no UTF-8 text; save it as CSV UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path} is no CSV file ({error})") from None


def _read_metadata(path: Path) -> dict[str, str]:
    with table(path) as reader:
        missing = {"file", "patient_id"} - set(reader.fieldnames or ())
        if missing:
            raise DataError(f"{path} lacks the column(s) {', '.join(sorted(missing))}")
        patients: dict[str, str] = {}
        for line, row in enumerate(reader, start=2):
            file, patient, label = (
                (row.get(name) or "").strip() for name in ("file", "patient_id", "label")
            )
            if not file or not patient:
                raise DataError(f"{path} line {line}: `file` and `patient_id` must not be empty")
            if file in patients:
                raise DataError(f"{path} line {line}: {file} is listed twice; keep one row")
            if label and label != file.split("/")[0]:
                raise DataError(
                    f"{path} line {line}: {file} lies in the folder of another class than its "
                    f"label {label!r}; move the file or mend the row"
                )
            patients[file] = patient
    return patients
