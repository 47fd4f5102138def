"""From one file's bytes to the 128x128 pixels that the network sees."""

from __future__ import annotations

import cv2
import numpy as np

from ml_tasks.imaging.breast import Pixels, breast_mask, dark_background, without_frame
from ml_tasks.imaging.decode import decode
from ml_tasks.imaging.spec import ImageSpec


def preprocess(data: bytes, spec: ImageSpec) -> Pixels:
    """The cleaned picture of one file: (side, side) uint8 grey, exactly 0 outside the breast.

    Raises:
        ImageRejected: the file is no usable image, or shows no breast.
    """
    return clean(decode(data, spec).pixels, spec)


def clean(pixels: Pixels, spec: ImageSpec) -> Pixels:
    """Grey pixels (H,W) uint8 to (side, side): polarity, frame, mask, crop, side, square, resize.

    Raises:
        ImageRejected: `no_breast`.
    """
    pixels = without_frame(dark_background(pixels), spec)
    mask = _full_size(breast_mask(_working_image(pixels, spec), spec), pixels.shape)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    breast = facing_right(pixels[window] * mask[window])
    square = padded_to_square(breast)
    return np.asarray(
        cv2.resize(square, (spec.side, spec.side), interpolation=cv2.INTER_AREA), np.uint8
    )


def facing_right(pixels: Pixels) -> Pixels:
    """Pixels (H,W) with the chest wall at the left edge: mirrored where it is at the right."""
    edge = max(1, pixels.shape[1] // 20)
    at_left = np.count_nonzero(pixels[:, :edge])
    at_right = np.count_nonzero(pixels[:, -edge:])
    return np.ascontiguousarray(pixels[:, ::-1]) if at_right > at_left else pixels


def padded_to_square(pixels: Pixels) -> Pixels:
    """Pixels (H,W) with black added at the right, or above and below alike; never stretched."""
    height, width = pixels.shape
    side = max(height, width)
    above = (side - height) // 2
    return np.pad(pixels, ((above, side - height - above), (0, side - width)))


def _working_image(pixels: Pixels, spec: ImageSpec) -> Pixels:
    height, width = pixels.shape
    scale = spec.working_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _full_size(mask: Pixels, shape: tuple[int, ...]) -> Pixels:
    height, width = shape
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
