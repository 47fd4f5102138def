"""Cleaned pictures from the disk into one array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml_tasks.dataset.manifest import IndexRow
from ml_tasks.errors import DataError
from ml_tasks.imaging.encode import read_png


def read_pictures(folder: Path, rows: Sequence[IndexRow]) -> NDArray[np.uint8]:
    """The pictures (N,H,W) uint8 of `rows`, in their order.

    Raises:
        DataError: no rows, or a picture is missing or damaged.
    """
    if not rows:
        raise DataError(f"{folder} holds no pictures of this split; run preprocess again")
    return np.stack([read_png(folder / row.file) for row in rows])
