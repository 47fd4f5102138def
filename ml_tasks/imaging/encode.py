"""Grey pixels to and from the PNG files of a cleaned set."""

from __future__ import annotations

import cv2
import numpy as np

from ml_tasks.imaging.pixels import Pixels


def png_bytes(pixels: Pixels) -> bytes:
    """Pixels (H,W) uint8 as a PNG file; the same pixels give the same bytes."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def decoded_png(data: bytes) -> Pixels:
    """Pixels (H,W) uint8 from the bytes of a PNG file that this package made."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.asarray(pixels, np.uint8)
