"""Grey pixels to and from the PNG files of a cleaned set."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ml_tasks.errors import DataError
from ml_tasks.imaging.pixels import Pixels


def png_bytes(pixels: Pixels) -> bytes:
    """Pixels (H,W) uint8 as a PNG file; the same pixels give the same bytes."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def decoded_png(data: bytes) -> Pixels:
    """Pixels (H,W) uint8 from the bytes of a PNG file that this package made."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.asarray(pixels, np.uint8)


def read_png(path: Path) -> Pixels:
    """The pixels (H,W) uint8 of a file that this package wrote.

    Raises:
        DataError: the file is missing or damaged.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise DataError(f"{path} is missing or damaged; run preprocess again")
    return np.asarray(pixels, np.uint8)
