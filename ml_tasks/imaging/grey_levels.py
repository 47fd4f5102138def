"""Fewer pixels and fewer grey levels: means over blocks, and deep pixels stretched to 8 bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.imaging.spec import ImageSpec

Values = NDArray[Any]

_LEVELS = 1 << 16
_LEVELS_SIDE = 256  # at least, of the copy on which the range of levels is found
_EXTREME = 0.001  # share of the pixels at either end that may saturate
_STRIP = 256  # rows that are worked on together


def reduction(size: tuple[int, int], spec: ImageSpec) -> int:
    """The largest of 8, 4, 2, 1 that leaves the longest of `size` at least `spec.decode_side`."""
    return next(
        factor for factor in (8, 4, 2, 1) if factor == 1 or max(size) >= factor * spec.decode_side
    )


def reduced(pixels: Values, factor: int) -> Values:
    """Pixels (H,W) averaged over factor x factor blocks; what no block fills is left out."""
    if factor == 1:
        return pixels
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    whole = pixels[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))


def reduced_in_strips(
    rows_of: Callable[[int, int], Values], height: int, factor: int, strip: int = _STRIP
) -> Values:
    """`reduced` of a picture of which `rows_of(top, bottom)` makes only some rows at a time.

    `strip` is a multiple of `factor`. A large film as a whole in every stage of its making would
    be held four times over.
    """
    whole = height // factor * factor
    strips = [
        reduced(rows_of(top, min(top + strip, whole)), factor) for top in range(0, whole, strip)
    ]
    return np.concatenate(strips)


def to_8_bit(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Stretches deep pixels to 0-255; 0.1 % may saturate at either end: no dead pixel decides.

    The ends are those of a small copy: grain would widen them the more, the finer the film.
    """
    small = reduced(values, max(1, max(values.shape) // _LEVELS_SIDE)).ravel()
    above = max(0, math.ceil((1 - _EXTREME) * small.size) - 1)
    places = [small.size - 1 - above, above]
    low, high = (int(level) for level in np.partition(small, places)[places])
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    scaled = (np.arange(_LEVELS, dtype=np.float32) - low) * (255.0 / (high - low))
    table = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return table[values]
