"""The cleaned set put together: pictures in their folders, placed lesions, contact sheets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml_tasks.config import Config
from ml_tasks.dataset.film_store import FilmStore
from ml_tasks.dataset.lesion_cost import LesionCost, lesion_cost
from ml_tasks.dataset.lesions import Lesion, read_lesions, unknown_files, write_lesions
from ml_tasks.dataset.manifest import IndexRow
from ml_tasks.dataset.pictures import write_arrays
from ml_tasks.dataset.shard import CleanedRow
from ml_tasks.dataset.shortcuts import OUTLINE, ControlResult, control, removed_picture
from ml_tasks.errors import DataError
from ml_tasks.imaging.contact_sheet import Tile, contact_sheet
from ml_tasks.imaging.encode import png_bytes
from ml_tasks.records import Split
from ml_tasks.storage import storage_errors, write_bytes

_SAMPLE, _LOST_MOST = 48, 50  # films on a sheet
_WATCHED = 5000  # films at most that the controls look at


@dataclass(frozen=True)
class Findings:
    """What was seen in the cleaned set."""

    controls: tuple[ControlResult, ...]
    lesions: LesionCost | None
    kept_shares: tuple[float, ...]  # of each film's area
    parted: int  # films from which bodies beside the breast were taken
    warnings: tuple[str, ...]


def write_pictures(work: Path, index: Sequence[IndexRow], films: FilmStore) -> dict[Split, str]:
    """Writes each finished picture to its split and class, and each split as one array.

    Gives the SHA-256 of each array.

    Raises:
        StorageError: no space left.
    """
    with storage_errors(work):
        for folder in {(work / row.file).parent for row in index}:
            folder.mkdir(parents=True, exist_ok=True)
        for row in index:
            (work / row.file).write_bytes(films.png("finished", row.file))
    return write_arrays(work, index, films)


def look_at(
    work: Path,
    index: Sequence[IndexRow],
    films: FilmStore,
    cleaned: Mapping[str, CleanedRow],
    raw: Path,
    config: Config,
) -> Findings:
    """Writes both contact sheets, and lesions.csv where the raw folder has one; gives the rest.

    Raises:
        DataError: lesions.csv of the raw folder is wrong, or something is left outside a breast.
        StorageError: no space left.
    """
    annotated = read_lesions(config.data.snapshot or raw)
    found = _controls(index, films, config)
    lesions = _finished_lesions(index, cleaned, annotated)
    if annotated:
        write_lesions(work / "lesions.csv", lesions)
    sheets = {"contact_sheet.png": _sample(index), "most_removed.png": _lost_most(index, cleaned)}
    for name, rows in sheets.items():
        tiles = [_tile(row, films, cleaned[row.file]) for row in rows]
        write_bytes(work / name, png_bytes(contact_sheet(tiles)))
    side = next(iter(cleaned.values())).side
    cost = lesion_cost([x.radius for x in lesions], config.cleaning.small_lesion_pixels, side)
    unknown = unknown_files(annotated, {row.raw for row in index})
    warnings = [unknown] if unknown else []
    warnings += [control.sentence() for control in found if control.warning]
    if cost is not None and cost.small:
        warnings.append(cost.sentence())
    return Findings(
        controls=found,
        lesions=cost,
        kept_shares=tuple(row.kept_share for row in cleaned.values()),
        parted=sum(row.parts > 0 for row in cleaned.values()),
        warnings=tuple(warnings),
    )


def _controls(
    index: Sequence[IndexRow], films: FilmStore, config: Config
) -> tuple[ControlResult, ...]:
    """What cleaning took away, what it left outside of the breast, and the breast's outline."""
    rows = sorted(index, key=lambda row: hashlib.sha256(row.patient.encode()).digest())[:_WATCHED]
    labels = np.array([row.label == config.data.positive for row in rows])
    patients = [row.patient for row in rows]
    masks = np.stack([films.pixels("mask", row.file) for row in rows])
    outside = np.stack([films.pixels("finished", row.file) for row in rows]) * (masks == 0)
    for row, left in zip(rows, outside, strict=True):
        if left.any():
            raise DataError(f"{row.raw}: cleaning left something outside of the breast; report it")
    side = masks.shape[1]
    removed = np.stack(
        [
            removed_picture(films.pixels("film", row.file), films.pixels("kept", row.file), side)
            for row in rows
        ]
    )
    bound = config.cleaning.max_silhouette_auc
    return (
        control("what cleaning removed", removed, labels, patients),
        control("what is left outside of the breast", outside, labels, patients),
        control(OUTLINE, masks, labels, patients, bound),
    )


def _sample(index: Sequence[IndexRow]) -> list[IndexRow]:
    """Films of each class alike, chosen by a stable hash."""
    chosen: list[IndexRow] = []
    for label in sorted({row.label for row in index}):
        rows = [row for row in index if row.label == label]
        rows.sort(key=lambda row: hashlib.sha256(f"sheet {row.raw_sha256}".encode()).digest())
        chosen += rows[: _SAMPLE // 2]
    return chosen


def _lost_most(index: Sequence[IndexRow], cleaned: Mapping[str, CleanedRow]) -> list[IndexRow]:
    return sorted(index, key=lambda row: (cleaned[row.file].kept_share, row.file))[:_LOST_MOST]


def _tile(row: IndexRow, films: FilmStore, cleaned: CleanedRow) -> Tile:
    caption = f"{Path(row.raw).name} {row.label}, kept {cleaned.kept_share:.0%}"
    film, kept = films.pixels("film", row.file), films.pixels("kept", row.file)
    return Tile(film, kept, films.pixels("finished", row.file), caption)


def _finished_lesions(
    index: Sequence[IndexRow],
    cleaned: Mapping[str, CleanedRow],
    annotated: Mapping[str, tuple[Lesion, ...]],
) -> list[Lesion]:
    """The lesions in finished pixels, by the finished picture's file."""
    lesions = []
    for row in index:
        geometry = cleaned[row.file].geometry
        for lesion in annotated.get(row.raw, ()):
            x, y = geometry.to_finished(lesion.x, lesion.y)
            radius = lesion.radius * geometry.scale
            lesions.append(Lesion(file=row.file, x=max(x, -0.5), y=max(y, -0.5), radius=radius))
    return lesions
