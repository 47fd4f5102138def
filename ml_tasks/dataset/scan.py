"""Walking raw/<Class>/...: every file is measured, and kept or set aside with a reason."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ml_tasks.config import DataConfig
from ml_tasks.dataset.manifest import ManifestRow
from ml_tasks.dataset.patients import Identities, identities_of, unknown_patients
from ml_tasks.errors import DataError, ImageRejected
from ml_tasks.imaging.breast import Pixels
from ml_tasks.imaging.decode import SUFFIXES, decode
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.progress import counted

log = logging.getLogger(__name__)


def scan(
    raw: Path, config: DataConfig, spec: ImageSpec
) -> tuple[list[ManifestRow], tuple[str, ...]]:
    """The manifest of a raw folder, sorted by path, and warnings for the report.

    Raises:
        DataError: no folder, not exactly two class folders, a class without files, no patient.
    """
    classes = class_folders(raw, config.positive)
    files = [file for name in classes for file in _files(raw, name)]
    log.info("%s: %d files in %s", raw, len(files), ", ".join(classes))
    identities = identities_of(raw, config.patient_pattern)

    def row_of(file: Path) -> ManifestRow:
        return _measure(raw, file, identities, config, spec)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        rows = list(counted(pool.map(row_of, files), len(files), "read", log))
    rows = set_aside_copies(rows)
    for row in rows:
        if not row.usable:
            log.warning("set aside: %s: %s", row.path, row.reason)
    guessed = sum(row.usable and row.patient == row.path for row in rows)
    return rows, (unknown_patients(guessed, guessed),) if guessed else ()


def class_folders(raw: Path, positive: str) -> tuple[str, str]:
    """The two class names, sorted; hidden folders are passed over.

    Raises:
        DataError: missing or empty folder, another number of classes, or none that is `positive`.
    """
    layout = f"put the images into {raw}/<Class>/, one folder for each of two classes"
    if not raw.is_dir():
        raise DataError(f"the data folder {raw} does not exist; {layout}")
    names = sorted(
        entry.name for entry in raw.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    if not names:
        raise DataError(f"the data folder {raw} holds no class folder; {layout}")
    if len(names) != 2:
        raise DataError(
            f"{raw} holds {len(names)} class folder(s) ({', '.join(names)}); "
            "exactly two are needed, one of each class"
        )
    if positive not in names:
        raise DataError(
            f"data.positive is {positive!r}, but the classes in {raw} are {' and '.join(names)}; "
            "set data.positive to one of them"
        )
    return names[0], names[1]


def set_aside_copies(rows: list[ManifestRow]) -> list[ManifestRow]:
    """Sets aside repeated pictures of one class, so that none is counted twice or split in two.

    Copies under different classes stay: they contradict one another, which validation refuses.
    """
    first: dict[tuple[str, str], str] = {}
    kept = []
    for row in rows:
        original = first.setdefault((row.pixel_sha256, row.label), row.path)
        copy = row.usable and original != row.path
        kept.append(_aside(row, f"same picture as {original}") if copy else row)
    return kept


def _files(raw: Path, name: str) -> Iterator[Path]:
    found = sorted(
        path
        for path in (raw / name).rglob("*")
        if not path.name.startswith(".") and (path.is_file() or path.is_symlink())
    )
    if not found:
        raise DataError(f"the class folder {raw / name} is empty; both classes need images")
    yield from found


def _measure(
    raw: Path,
    file: Path,
    identities: Identities,
    config: DataConfig,
    spec: ImageSpec,
) -> ManifestRow:
    path = file.relative_to(raw)
    name = path.as_posix().encode("utf-8", "backslashreplace").decode()
    row = ManifestRow(path=name, label=path.parts[0], bytes=0)
    if name != path.as_posix():
        return _aside(row, "its name is not UTF-8; rename it")
    if not file.resolve().is_relative_to(raw.resolve()) or not file.is_file():
        return _aside(row, "a link to nothing or to outside of the data folder")
    if file.suffix.lower() not in SUFFIXES:
        return _aside(row, f"not an image file by its name; read are {', '.join(SUFFIXES)}")
    try:
        data = file.read_bytes()
    except OSError as error:
        return _aside(row, f"cannot be read: {error.strerror}")
    row = row.model_copy(update={"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    try:
        image = decode(data, spec)
    except ImageRejected as rejected:
        return _aside(row, str(rejected))
    pixels = image.pixels
    row = row.model_copy(
        update={
            "patient": identities.of(row.path).patient or row.path,
            "format": image.format,
            "mode": image.mode,
            "bit_depth": image.bit_depth,
            "width": image.width,
            "height": image.height,
            "pixel_sha256": _pixel_hash(pixels),
            "brightness": round(float(pixels.mean()), 2),
            "contrast": round(float(pixels.std()), 2),
        }
    )
    if pixels.std() < config.min_contrast:
        return _aside(row, f"blank: the grey levels differ by only {pixels.std():.1f}")
    return row


def _pixel_hash(pixels: Pixels) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _aside(row: ManifestRow, reason: str) -> ManifestRow:
    return row.model_copy(update={"status": "quarantined", "reason": reason})
