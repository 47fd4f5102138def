"""A run's films by shard: where each one goes, its pictures, and what cleaning did with it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ml_tasks.dataset.cache import ExaminationCache
from ml_tasks.dataset.examination import Examination, ImageFacts, Pictures, examine
from ml_tasks.dataset.examine_files import Examiner, examine_files
from ml_tasks.dataset.film_store import writing_films
from ml_tasks.dataset.manifest import (
    ATTRIBUTES,
    IndexRow,
    ManifestRow,
    read_rows,
    write_rows,
)
from ml_tasks.dataset.snapshot import read_unchanged
from ml_tasks.dataset.training_data import ImageRef
from ml_tasks.errors import DataError
from ml_tasks.imaging.breast import Pixels
from ml_tasks.imaging.encode import decoded_png
from ml_tasks.imaging.geometry import Geometry
from ml_tasks.records import Record, Split
from ml_tasks.storage import sha256_file

log = logging.getLogger(__name__)

_LONGEST_NAME = 255  # bytes: NAME_MAX of Linux's file systems


class CleanedRow(Record):
    """What cleaning did with one film."""

    file: str  # as in the index
    kept_share: float
    parts: int
    factor: int
    left: int
    top: int
    width: int
    height: int
    mirrored: bool
    side: int

    @property
    def geometry(self) -> Geometry:
        """Where a point of the film comes to lie."""
        return Geometry(**self.model_dump(include=set(Geometry.model_fields)))


def shard_name(number: int) -> str:
    """The folder of a shard."""
    return f"{number:04d}"


def planned_rows(rows: Sequence[ManifestRow], placed: Mapping[str, Split]) -> list[IndexRow]:
    """Where each usable film goes, sorted by file.

    Two of one stem get names of their own, and so does one whose name a folder has.
    """
    planned: dict[str, IndexRow] = {}
    folders = {folder.as_posix() for row in rows for folder in Path(row.path).parents}
    for row in rows:
        split = placed[row.patient]
        below = Path(row.path).with_suffix(".png").as_posix()
        if below in folders or f"{split.value}/{below}" in planned:
            below = _name_of_its_own(row)
        file = f"{split.value}/{below}"
        planned[file] = IndexRow(
            file=file,
            raw=row.path,
            label=row.label,
            patient=row.patient,
            split=split,
            raw_sha256=row.sha256,
            **row.model_dump(include=set(ATTRIBUTES)),
        )
    return [planned[file] for file in sorted(planned)]


def _name_of_its_own(row: ManifestRow) -> str:
    """The stem and the hash of path and content, as long as a file system allows."""
    path = Path(row.path)
    mark = hashlib.sha256(f"{row.path}\0{row.sha256}".encode()).hexdigest()[:8]
    stem = path.stem.encode()[: _LONGEST_NAME - len(f"~{mark}.png")].decode(errors="ignore")
    return path.with_name(f"{stem}~{mark}.png").as_posix()


def leakage_images(
    rows: Sequence[ManifestRow], planned: Sequence[IndexRow], raw: Path, examiner: Examiner
) -> list[ImageRef]:
    """What the leakage certificate compares, one for each planned film.

    Raises:
        DataError: a film is gone or has changed since validation.
    """
    pixels = {row.path: row.pixel_sha256 for row in rows}
    return [
        ImageRef(
            file=row.raw,
            label=row.label,
            patient=row.patient,
            split=row.split,
            pixel_sha256=pixels[row.raw],
            fingerprint=prints[0],
            otherwise=prints[1] if len(prints) > 1 else None,
        )
        for row, found in zip(planned, examinations(planned, raw, examiner), strict=True)
        for prints in [_usable(row, found).prints]
    ]


def thumbnails(
    files: Iterable[str], planned: Sequence[IndexRow], examiner: Examiner
) -> dict[str, Pixels]:
    """Finished pictures (128,128) by raw file, of those that are kept; others are left out."""
    wanted, kept = set(files), examiner.open_cache()
    found = {row.raw: kept.get(row.raw_sha256) for row in planned if row.raw in wanted}
    return {
        file: decoded_png(examination.pictures.finished)
        for file, examination in found.items()
        if examination and examination.pictures
    }


def clean_films(
    planned: Sequence[IndexRow], raw: Path, examiner: Examiner, work: Path
) -> tuple[str, str]:
    """Writes rows.csv and films.zip of these films into `work`; gives the files' hex SHA-256.

    Raises:
        DataError: a film changed since validation.
        StorageError: no space left.
    """
    rows = []
    with writing_films(work / "films.zip") as films:
        for row, examination in zip(planned, examinations(planned, raw, examiner), strict=True):
            films.add(row.file, _usable(row, examination))
            rows.append(_cleaned_row(row, examination.facts))
    return write_rows(work / "rows.csv", rows, CleanedRow), sha256_file(work / "films.zip")


def _usable(row: IndexRow, examination: Examination) -> Pictures:
    if examination.pictures is None:
        raise DataError(
            f"{row.raw} was usable when it was validated and is not now "
            f"({examination.facts.rejection}); run validate_data again"
        )
    return examination.pictures


def _cleaned_row(row: IndexRow, facts: ImageFacts) -> CleanedRow:
    assert facts.metrics is not None and facts.geometry is not None  # there are pictures
    return CleanedRow(
        file=row.file,
        kept_share=facts.metrics.kept_share,
        parts=facts.metrics.parts,
        **facts.geometry.model_dump(),
    )


def examinations(
    planned: Sequence[IndexRow], raw: Path, examiner: Examiner
) -> Iterator[Examination]:
    """The examinations of these films, in their order, from the cache or made anew in parallel.

    Raises:
        DataError: a film is gone or has changed since validation.
    """
    files = [raw / row.raw for row in planned]
    kept = examiner.open_cache()
    for row, found in zip(planned, examine_files(raw, files, examiner), strict=True):
        if found.sha256 != row.raw_sha256:
            read_unchanged(raw / row.raw, row.raw_sha256)  # says what is wrong with it
        yield kept.get(row.raw_sha256) or _made_anew(row, raw, examiner, kept)


def _made_anew(row: IndexRow, raw: Path, examiner: Examiner, kept: ExaminationCache) -> Examination:
    """For a cache that lost the film this very moment."""
    made = examine(read_unchanged(raw / row.raw, row.raw_sha256), examiner.spec, examiner.key)
    kept.put(row.raw_sha256, made)
    return made


def read_cleaned(folders: Iterable[Path]) -> dict[str, CleanedRow]:
    """What cleaning did, by file, from the rows.csv of every shard."""
    rows = (row for folder in folders for row in read_rows(folder / "rows.csv", CleanedRow))
    return {row.file: row for row in rows}
