"""The fingerprint of a cleaned picture: its texture at 64x64 in 4096 bytes, kept beside releases.

What lets two pictures of one film be told from two films is the texture of the gland. So slow
brightness (the breast's outline, exposure, gamma) and fine grain (noise, compression) are taken
out, and the strength of what is left is evened out over the breast: a band-pass with local
contrast normalisation (Jarrett et al., ICCV 2009, "subtractive and divisive normalisation"). All
averages are taken inside the breast alone, else its edge would be the strongest texture of all.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.errors import DataError

Pictures = NDArray[np.uint8]
Fingerprint = NDArray[np.int8]
Values = NDArray[np.float32]

FINGERPRINT_METHOD = "band-passed-64-v1"  # another number where stored ones no longer compare
SIDE = 64  # pixels
OUTSIDE = -128  # the level that stands for "no breast here"

# All lengths are shares of the picture's side.
_GRAIN = 0.0095  # sigma; finer detail is noise and compression
_SLOW = 0.02  # sigma; slower change is brightness
_RIM = 2 / 128  # taken off the breast: the mask ends elsewhere after another compression
_FLOOR = 0.3  # grey levels; flat places are not blown up into noise
_STEP = 1 / 40  # standard deviations to one level


def fingerprint(pixels: Pictures) -> Fingerprint:
    """The texture (64,64) int8 of a cleaned picture (H,W) uint8, 0 outside; OUTSIDE where it is 0.

    Levels are fortieths of the local standard deviation, clipped at 127.
    """
    side = len(pixels)
    inside = cv2.morphologyEx((pixels > 0).astype(np.uint8), cv2.MORPH_CLOSE, _square(side, 1))
    weight = inside.astype(np.float32)
    smooth = _mean_inside(pixels.astype(np.float32), weight, _GRAIN * side)
    detail = smooth - _mean_inside(smooth, weight, _SLOW * side)
    strength = np.sqrt(_mean_inside(detail * detail, weight, _SLOW * side))
    kept = cv2.erode(np.pad(inside, 8), _square(side, 1))[8:-8, 8:-8]
    texture = cv2.resize(
        detail / (strength + _FLOOR) * kept, (SIDE, SIDE), interpolation=cv2.INTER_AREA
    )
    levels = np.clip(np.rint(texture / _STEP), -127, 127)
    levels[cv2.resize(kept * 1.0, (SIDE, SIDE), interpolation=cv2.INTER_AREA) < 0.5] = OUTSIDE
    return levels.astype(np.int8)


def fingerprints(pictures: Pictures | Sequence[Pictures]) -> Fingerprint:
    """Those of many pictures (N,H,W) uint8, as (N,64,64) int8."""
    made = [fingerprint(pixels) for pixels in pictures]
    return np.stack(made) if made else np.empty((0, SIDE, SIDE), np.int8)


def texture(levels: Fingerprint) -> tuple[Values, Values]:
    """The texture (64,64) in standard deviations, 0 outside, and its mask, 1 inside."""
    mask = (levels != OUTSIDE).astype(np.float32)
    return levels.astype(np.float32) * np.float32(_STEP) * mask, mask


def inverted(levels: Fingerprint) -> Fingerprint:
    """The fingerprint (64,64) of the same picture with black and white exchanged."""
    return np.where(levels == OUTSIDE, levels, -levels).astype(np.int8)


def to_text(levels: Fingerprint) -> str:
    """A fingerprint as base64."""
    return base64.b64encode(levels.tobytes()).decode("ascii")


def from_text(text: str) -> Fingerprint:
    """A fingerprint back from base64.

    Raises:
        DataError: the text is no fingerprint.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != SIDE * SIDE:
        raise DataError(
            f"a stored fingerprint is damaged: {text[:20]!r}… holds {len(data)} bytes, not "
            f"{SIDE * SIDE}; write the file again from its pictures"
        )
    return np.frombuffer(data, np.int8).reshape(SIDE, SIDE)


def _mean_inside(values: Values, weight: Values, sigma: float) -> Values:
    """The Gaussian mean of what lies inside; near the edge over fewer pixels."""
    total = cv2.GaussianBlur(values * weight, (0, 0), sigma)
    return np.asarray(total / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3), np.float32)


def _square(side: int, rims: int) -> NDArray[np.uint8]:
    reach = max(1, round(_RIM * side * rims))
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
