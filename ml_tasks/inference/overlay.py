"""The class activation map in colours, to be laid over the cleaned picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.imaging.pixels import Pixels

_FOR, _AGAINST = (255, 128, 0), (0, 114, 255)  # red, green, blue: told apart by the colour-blind
_OPACITY = 0.65  # of the strongest place
_LEAST_SCALE = 1.0  # log odds that have the fullest colour at least: a faint map stays faint


def overlay_png(activation: NDArray[np.float32], pixels: Pixels) -> bytes:
    """An activation map (h,w) in log odds as a PNG (side,side) of red, green, blue and opacity.

    Orange places speak for the positive class, blue ones against it; what is outside the breast
    in `pixels` (side,side) is clear. The strongest place has the fullest colour.
    """
    height, width = pixels.shape
    grown = cv2.resize(activation, (width, height), interpolation=cv2.INTER_LINEAR)
    places = np.asarray(grown, np.float32) * (pixels > 0)
    share = places / max(float(np.abs(places).max()), _LEAST_SCALE)
    colour = np.where(share[..., np.newaxis] > 0, np.array(_FOR), np.array(_AGAINST))
    opacity = np.rint(np.abs(share) * _OPACITY * 255)
    rgba = np.dstack([colour[..., ::-1], opacity]).astype(np.uint8)  # OpenCV takes blue first
    return cv2.imencode(".png", rgba)[1].tobytes()
