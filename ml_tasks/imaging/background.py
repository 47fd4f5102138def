"""The dark background of a film: its grey level, its noise, and the levels that tissue exceeds."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.imaging.pixels import Pixels
from ml_tasks.imaging.spec import ImageSpec

_NEAR = 10  # grey levels about the mode that are looked at for noise
_NORMAL = 1.4826  # median absolute deviation to standard deviation, of normal noise


@dataclass(frozen=True)
class Background:
    """Grey levels (0-255) of a film's bare part, and the two that tissue is told by."""

    level: int  # the commonest of the dark ones
    noise: float  # standard deviation, robust
    tissue: float  # what is brighter is tissue, label or tape beyond doubt
    skin: float  # what is brighter is no longer bare film: tissue thinned out, but glow too


def background(pixels: Pixels, spec: ImageSpec) -> Background:
    """Measures the background of smoothed pixels (H,W) that show a dark one.

    The level is the mode of the darker half below Otsu's threshold and the noise the scaled median
    absolute deviation about it, so that neither the breast's size nor its brightness moves them.
    """
    otsu = cv2.threshold(pixels, 0, 255, cv2.THRESH_OTSU)[0]
    counts = np.bincount(pixels.ravel(), minlength=256).astype(float)
    darkest = int(np.flatnonzero(counts)[0])
    dark = counts[: int(darkest + (otsu - darkest) / 2) + 1]
    level = int(np.convolve(dark, [1, 2, 3, 2, 1], "same")[: len(dark)].argmax())
    noise = _NORMAL * _median_deviation(dark, level)
    rise = max(spec.tissue_rise, spec.tissue_share * (otsu - level))
    skin = max(spec.skin_rise, spec.skin_noise * noise)
    return Background(level, noise, tissue=level + rise, skin=level + min(skin, rise))


def _median_deviation(counts: NDArray[np.float64], level: int) -> int:
    """The median distance from a grey level, by counts of each level, of those near it."""
    away = np.abs(np.arange(len(counts)) - level)
    near = np.bincount(away, weights=counts)[: _NEAR + 1]
    return int(np.searchsorted(np.cumsum(near), near.sum() / 2))
