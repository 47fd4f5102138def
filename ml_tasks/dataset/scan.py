"""Walking raw/<Class>/...: every file is examined, and kept or set aside with a reason."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ml_tasks.config import DataConfig
from ml_tasks.dataset.announcement import Snapshot
from ml_tasks.dataset.examine_files import KEY_VARIABLE, Examined, Examiner, examine_files
from ml_tasks.dataset.manifest import ManifestRow
from ml_tasks.dataset.patients import (
    Identities,
    header_identity,
    identities_of,
    unknown_patients,
)
from ml_tasks.dataset.raw_files import (
    class_files,
    class_names,
    count_images,
    is_plain_file_below,
    written_name,
)
from ml_tasks.dataset.same_films import group_near_duplicates, set_aside_copies
from ml_tasks.errors import DataError
from ml_tasks.imaging.decode import SUFFIXES
from ml_tasks.progress import listed

log = logging.getLogger(__name__)

_NO_FILE = "no plain file, or a link to nothing, to itself or to outside of the data folder"


def scan(
    raw: Path, config: DataConfig, examiner: Examiner, snapshot: Snapshot | None = None
) -> tuple[list[ManifestRow], tuple[str, ...]]:
    """The manifest of a raw folder, sorted by path, and warnings for the report.

    With a `snapshot` only the files that it lists, with its tables, whatever has come since.

    Raises:
        DataError: no folder, not exactly two class folders, a class without files, no patient;
            fewer images than were announced, or a file that is not as the snapshot says.
        StorageError: no space left for the cache.
    """
    classes = class_folders(raw, config.positive, snapshot.classes if snapshot else None)
    files = _files_of(raw, classes, snapshot)
    log.info("%s: %d files in %s", raw, len(files), ", ".join(classes))
    _check_count(raw, files, config.announced_images)
    identities = identities_of(snapshot.folder if snapshot else raw, config.patient_pattern)
    rows = [_listed(raw, file) for file in files]
    readable = [(row, file) for row, file in zip(rows, files, strict=True) if row.usable]
    found = examine_files(raw, [file for _, file in readable], examiner)
    if snapshot:
        read = {row.path: each for (row, _), each in zip(readable, found, strict=True)}
        gone = [row.path for row in rows if row.reason == _NO_FILE]
        snapshot.refuse_changed(raw, {path: each.sha256 for path, each in read.items()})
        snapshot.refuse_unreadable(raw, [*gone, *(p for p, each in read.items() if each.closed)])
    measured = {
        row.path: _measured(row, examined, identities, examiner)
        for (row, _), examined in zip(readable, found, strict=True)
    }
    rows = set_aside_copies([measured.get(row.path, row) for row in rows])
    rows = _hung_alike(rows)
    guessed = {row.path for row in rows if row.usable and not row.patient}
    rows, warnings = group_near_duplicates(rows, examiner.open_cache())
    if guessed:
        patients = {row.patient for row in rows if row.path in guessed}
        warnings = (unknown_patients(len(guessed), len(patients)), *warnings)
    lost = identities.lost(row.path for row in rows)
    warnings = (lost, *warnings) if lost else warnings
    aside = [f"set aside: {row.path}: {row.reason}" for row in rows if not row.usable]
    title = f"{len(aside)} of {len(rows)} files are set aside, each for its reason"
    listed(log, title, aside, "manifest.csv of this stage")
    return rows, warnings


def class_folders(
    raw: Path, positive: str, listed: tuple[str, ...] | None = None
) -> tuple[str, str]:
    """The two class names, sorted: those that are `listed`, else the folders that are there.

    Raises:
        DataError: missing or empty folder, another number of classes, or none that is `positive`.
    """
    layout = f"put the images into {raw}/<Class>/, one folder for each of two classes"
    if not raw.is_dir():
        raise DataError(f"the data folder {raw} does not exist; {layout}")
    names = class_names(raw) if listed is None else listed
    if not names:
        raise DataError(f"the data folder {raw} holds no class folder; {layout}")
    if len(names) != 2:
        remedy = (
            f"put the images of the other class into {raw}/<Class>/"
            if len(names) == 1
            else "move the others out of it, or put all images of one class into one folder"
        )
        raise DataError(
            f"{raw} holds {len(names)} class folder(s) ({', '.join(names)}); "
            f"exactly two are needed, one of each class: {remedy}"
        )
    if positive not in names:
        raise DataError(
            f"data.positive is {positive!r}, but the classes in {raw} are {' and '.join(names)}; "
            "set data.positive to one of them"
        )
    return names[0], names[1]


def _files_of(raw: Path, classes: Sequence[str], snapshot: Snapshot | None) -> list[Path]:
    by_class = {name: class_files(raw, name) for name in classes}
    if snapshot:
        return snapshot.only_listed(raw, chain.from_iterable(by_class.values()))
    for name, files in by_class.items():
        if not files:
            raise DataError(
                f"the class folder {raw / name} is empty; both classes need images: put some there"
            )
    return list(chain.from_iterable(by_class.values()))


def _check_count(raw: Path, files: Sequence[Path], announced: int | None) -> None:
    """Refuses a folder that holds fewer images than whoever announced it has counted."""
    found = count_images(file.name for file in files)
    if announced is not None and found < announced:
        raise DataError(
            f"announced {announced} images, found {found} in {raw}: is the copy still going on? "
            "Announce the data again once it is complete"
        )
    if announced is not None and found > announced:
        log.warning("announced %d images, found %d: all of them are used", announced, found)


def _listed(raw: Path, file: Path) -> ManifestRow:
    """A row by the file's name alone; set aside where it should not even be opened."""
    path = file.relative_to(raw)
    name = written_name(path)
    row = ManifestRow(path=name, label=path.parts[0], bytes=0)
    if name != path.as_posix():
        return row.aside("its name is not UTF-8; rename it")
    if not is_plain_file_below(file, raw):
        return row.aside(_NO_FILE)
    if file.suffix.lower() not in SUFFIXES:
        return row.aside(f"not an image file by its name; read are {', '.join(SUFFIXES)}")
    return row


def _measured(
    row: ManifestRow, examined: Examined, identities: Identities, examiner: Examiner
) -> ManifestRow:
    facts = examined.facts
    row = row.model_copy(update={"bytes": examined.bytes, "sha256": examined.sha256})
    if facts.metrics is None:
        return row.aside(facts.rejection)
    said = identities.of(row.path, header_identity(facts.patient, facts.header))
    if facts.format == "DICOM" and said.patient is None and examiner.key is None:
        raise DataError(
            f"{row.path}: the patient of a DICOM file is its header's, as a keyed pseudonym, and "
            f"there is no key; set {KEY_VARIABLE} to a secret of your own and keep it (another key "
            "gives other pseudonyms), or list the patients in metadata.csv"
        )
    laterality = said.laterality
    return row.model_copy(
        update=_figures(examined)
        | {
            "patient": said.patient or "",
            "view": said.view.value if said.view else "",
            "laterality": laterality.value if laterality else "",
            **said.model_dump(include={"density", "site", "age_band"}),
        }
    )


def _figures(examined: Examined) -> dict[str, Any]:
    facts, header = examined.facts, examined.facts.header
    metrics = facts.metrics
    assert metrics is not None  # else the file is set aside
    return {
        "format": facts.format,
        "mode": facts.mode,
        "bit_depth": facts.bit_depth,
        "width": facts.width,
        "height": facts.height,
        "pixel_sha256": facts.pixel_sha256,
        "brightness": round(metrics.brightness, 2),
        "contrast": round(metrics.contrast, 2),
        "saturation": round(metrics.saturation, 4),
        "sharpness": round(metrics.sharpness, 4),
        "breast_share": round(metrics.kept_share, 4),
        "label_blobs": metrics.parts,
        "inverted": metrics.inverted,
        "framed": metrics.framed,
        "chest_wall": metrics.side,
        "manufacturer": header.manufacturer,
        "body_part": header.body_part,
        "implant": header.implant,
        "burned_in_annotation": header.burned_in_annotation,
    }


def _hung_alike(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    """Marks films whose breast stands at the other side than most films of their laterality.

    Not by a fixed rule: data sets differ in how they hang their films (DICOM's left breast has its
    chest wall at the left, mini-MIAS's at the right), but each hangs them all alike.
    """
    known = [row for row in rows if row.usable and row.laterality and row.chest_wall]
    customary = sum((row.laterality == "L") == (row.chest_wall == "left") for row in known)
    as_usual = 2 * customary >= len(known)

    def marked(row: ManifestRow) -> ManifestRow:
        if not (row.usable and row.laterality and row.chest_wall):
            return row
        fits = (row.laterality == "L") == (row.chest_wall == "left")
        return row.model_copy(update={"laterality_mismatch": fits != as_usual})

    return [marked(row) for row in rows]
