"""Arrays of pictures: mapped, never unpickled, and refused if they are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml_tasks.dataset.pictures import open_pictures
from ml_tasks.errors import DataError

PICTURES = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)


def test_an_array_is_mapped_and_cannot_be_written_through(tmp_path: Path) -> None:
    """Training that altered the cleaned set would alter what the next run learns."""
    np.save(tmp_path / "train.npy", PICTURES)
    array = open_pictures(tmp_path / "train.npy", 3)
    assert np.array_equal(array, PICTURES)
    assert isinstance(array.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0, 0] = 1


def test_another_number_type_or_shape_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.npy"
    np.save(path, PICTURES)
    with pytest.raises(DataError, match=r"train\.npy holds uint8 \(3, 4, 4\), not 4 pictures"):
        open_pictures(path, 4)
    np.save(path, PICTURES.astype(np.float32))
    with pytest.raises(DataError, match="holds float32"):
        open_pictures(path, 3)
    np.save(path, PICTURES[0])
    with pytest.raises(DataError, match="not 4 pictures"):
        open_pictures(path, 4)


def test_pickled_objects_and_cut_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"train\.npy cannot be read .* run preprocess again"):
        open_pictures(path, 1)
    np.save(path, PICTURES)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="cannot be read"):
        open_pictures(path, 3)


def test_a_split_without_pictures_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no pictures of this split"):
        open_pictures(tmp_path / "val.npy", 0)
