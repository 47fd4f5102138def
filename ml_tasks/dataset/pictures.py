"""The finished pictures of a split as one array on the disk, read without loading it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml_tasks.dataset.film_store import FilmStore
from ml_tasks.dataset.manifest import IndexRow
from ml_tasks.errors import DataError
from ml_tasks.imaging.pixels import Pixels
from ml_tasks.records import Split
from ml_tasks.storage import sha256_file, storage_errors


def array_file(split: Split) -> str:
    """The name of a split's array below the cleaned folder."""
    return f"{split}.npy"


def write_arrays(work: Path, index: Sequence[IndexRow], films: FilmStore) -> dict[Split, str]:
    """Writes each split's pictures (N,H,W) uint8 in the order of `index`; gives the SHA-256s.

    Raises:
        StorageError: no space left.
    """
    return {split: _write_array(work, index, films, split) for split in Split}


def open_pictures(path: Path, count: int) -> NDArray[np.uint8]:
    """The array (count,H,W) uint8 at `path`, mapped into memory: pages are read when looked at.

    Raises:
        DataError: it holds no pictures, another number of them, or something else.
    """
    if not count:
        raise DataError(f"{path} holds no pictures of this split; run preprocess again")
    try:
        pictures = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}); run preprocess again") from error
    if pictures.ndim != 3 or len(pictures) != count or pictures.dtype != np.uint8:
        raise DataError(
            f"{path} holds {pictures.dtype} {pictures.shape}, not {count} pictures (H,W) of uint8; "
            "run preprocess again"
        )
    return np.asarray(pictures)


def _write_array(work: Path, index: Sequence[IndexRow], films: FilmStore, split: Split) -> str:
    rows = [row for row in index if row.split is split]
    pictures = (films.pixels("finished", row.file) for row in rows)
    path = work / array_file(split)
    with storage_errors(path):
        _stream(path, len(rows), pictures)
    return sha256_file(path)


def _stream(path: Path, count: int, pictures: Iterator[Pixels]) -> None:
    """One picture after the other, through write: a map of a full disk would kill the process."""
    with path.open("wb") as stream:
        for number, pixels in enumerate(pictures):
            if not number:
                shape = (count, *pixels.shape)
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(np.ascontiguousarray(pixels).tobytes())
