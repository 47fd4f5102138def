"""The cleaned set put together: finished pictures in their folders, lesions where they lie now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_tasks.dataset.film_store import FilmStore
from ml_tasks.dataset.lesions import Lesion, read_lesions, unknown_files, write_lesions
from ml_tasks.dataset.manifest import IndexRow
from ml_tasks.dataset.shard import CleanedRow
from ml_tasks.storage import storage_errors


def write_pictures(work: Path, index: Sequence[IndexRow], films: FilmStore) -> None:
    """Writes each finished picture to its split and class.

    Raises:
        StorageError: no space left.
    """
    with storage_errors(work):
        for folder in {(work / row.file).parent for row in index}:
            folder.mkdir(parents=True, exist_ok=True)
        for row in index:
            (work / row.file).write_bytes(films.png("finished", row.file))


def place_lesions(
    work: Path, index: Sequence[IndexRow], cleaned: Mapping[str, CleanedRow], raw: Path
) -> tuple[str, ...]:
    """Writes lesions.csv, in finished pixels, where the raw folder has one; gives warnings.

    Raises:
        DataError: lesions.csv of the raw folder is wrong.
        StorageError: no space left.
    """
    annotated = read_lesions(raw)
    if not annotated:
        return ()
    write_lesions(work / "lesions.csv", _finished_lesions(index, cleaned, annotated))
    unknown = unknown_files(annotated, {row.raw for row in index})
    return (unknown,) if unknown else ()


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
