"""Bringing a labelled folder of images into the layout data/raw/<Class>/ with metadata.csv."""

from __future__ import annotations

import csv
import io
import logging
import shutil
from collections import Counter
from pathlib import Path, PurePosixPath

from ml_tasks.dataset.patients import METADATA, table
from ml_tasks.errors import DataError
from ml_tasks.progress import counted
from ml_tasks.storage import replaced_directory, write_bytes

log = logging.getLogger(__name__)
REQUIRED = ("file", "label", "patient_id")


def import_images(images: Path, labels: Path, output: Path) -> dict[str, int]:
    """Copies `images`/<file> to `output`/<label>/<name> and writes metadata.csv; counts by class.

    `labels` is a CSV with the columns file, label, patient_id; any others are carried along. Files
    are found below `images`, or below the folder of `labels` where `file` starts there.

    Raises:
        DataError: a missing column, file or value, a repeated name, or a number of classes but two.
        StorageError: `output` holds files already, or there is no space left.
    """
    fields, rows = _read_labels(labels)
    classes = sorted({row["label"] for row in rows})
    if len(classes) != 2:
        raise DataError(
            f"{labels} holds {len(classes)} label(s) ({', '.join(classes) or 'none'}); "
            "exactly two classes are needed"
        )
    sources = [_source(images, labels, row["file"]) for row in rows]
    targets = [f"{row['label']}/{PurePosixPath(row['file']).name}" for row in rows]
    repeated = [target for target, count in Counter(targets).items() if count > 1]
    if repeated:
        raise DataError(
            f"{labels}: {len(repeated)} file name(s) appear twice in one class, e.g. "
            f"{repeated[0]}; give the files names of their own"
        )
    with replaced_directory(output, owned=lambda _: False) as work:
        pairs = list(zip(sources, targets, strict=True))
        for source, target in counted(pairs, len(pairs), "imported", log):
            (work / target).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, work / target)
        for row, target in zip(rows, targets, strict=True):
            row["file"] = target
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(work / METADATA, text.getvalue().encode())
    return dict(sorted(Counter(row["label"] for row in rows).items()))


def _read_labels(labels: Path) -> tuple[list[str], list[dict[str, str]]]:
    if not labels.is_file():
        raise DataError(f"the labels file {labels} does not exist")
    with table(labels) as reader:
        fields = list(reader.fieldnames or ())
        missing = [name for name in REQUIRED if name not in fields]
        if missing:
            raise DataError(
                f"{labels} lacks the column(s) {', '.join(missing)}; "
                f"it has {', '.join(fields) or 'none'}"
            )
        rows = []
        for line, row in enumerate(reader, start=2):
            empty = [name for name in REQUIRED if not (row[name] or "").strip()]
            if empty:
                raise DataError(f"{labels} line {line}: {', '.join(empty)} is empty")
            if len(row) > len(fields):
                raise DataError(f"{labels} line {line} has more fields than the first line")
            row |= {name: row[name].strip() for name in REQUIRED}
            if not _is_folder_name(row["label"]):
                raise DataError(f"{labels} line {line}: label {row['label']!r} is no folder name")
            rows.append(row)
    return fields, rows


def _is_folder_name(label: str) -> bool:
    return "/" not in label and not label.startswith(".") and label == label.strip()


def _source(images: Path, labels: Path, file: str) -> Path:
    for folder in (images, labels.parent):
        path = folder / file
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            return path
    raise DataError(f"{labels} names {file}, but there is no such file below {images}")
