"""A cleaned picture in a few figures: for telling it from others, never for judging it."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.imaging.pixels import Pixels

_BLOCK = 8  # pixels of the finished picture; what is larger counts as coarse structure
_WALL = 4  # columns next to the chest wall
_RIM = 5  # side of the square that is taken off the outline, whose step would count as an edge


@dataclass(frozen=True)
class PictureStatistics:
    """Figures of a cleaned picture (side, side); grey levels 0-255, shares 0-1.

    Those of grey levels are of the pixels inside the breast, which are above 0.
    """

    share: float  # of the picture, inside
    mean: float
    deviation: float  # standard, of the grey levels
    dark: float  # 5th percentile
    bright: float  # 95th percentile
    skew: float  # mean less median, in standard deviations
    edges: float  # log of the Laplacian's variance over that of the grey levels
    coarse: float  # standard deviation of the means of blocks, over that of the grey levels
    wall: float  # share of the chest wall's columns, inside
    width: float  # of the breast, as a share of the picture's side

    def vector(self) -> NDArray[np.float64]:
        """The figures (10,) in the order of `names`."""
        return np.array(astuple(self), np.float64)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the figures."""
        return tuple(field.name for field in fields(cls))


def picture_statistics(pixels: Pixels) -> PictureStatistics:
    """The figures of a cleaned picture (side, side) uint8 that is exactly 0 outside the breast."""
    inside = np.asarray(pixels > 0)
    grey = pixels[inside].astype(np.float64)
    if grey.size == 0:
        return PictureStatistics(*([0.0] * len(PictureStatistics.names())))
    deviation = float(grey.std())
    scale = max(deviation, 1e-3)
    dark, median, bright = (float(level) for level in np.percentile(grey, (5, 50, 95)))
    mean = float(grey.mean())
    return PictureStatistics(
        share=float(inside.mean()),
        mean=mean,
        deviation=deviation,
        dark=dark,
        bright=bright,
        skew=(mean - median) / scale,
        edges=float(np.log(_edges(pixels, inside) / scale**2 + 1e-4)),
        coarse=_coarse(pixels, inside) / scale,
        wall=float(inside[:, :_WALL].mean()),
        width=float(inside.any(axis=0).mean()),
    )


def _edges(pixels: Pixels, inside: NDArray[np.bool_]) -> float:
    """The variance of the Laplacian well inside the breast; 0 where it is too thin for that."""
    mask = cv2.erode(inside.astype(np.uint8), np.ones((_RIM, _RIM), np.uint8))
    if not mask.any():
        return 0.0
    deviation = cv2.meanStdDev(cv2.Laplacian(pixels, cv2.CV_16S), mask=mask)[1]
    return float(deviation.item()) ** 2


def _coarse(pixels: Pixels, inside: NDArray[np.bool_]) -> float:
    """The standard deviation of the means of blocks that lie inside for at least a half."""
    small = (pixels.shape[1] // _BLOCK, pixels.shape[0] // _BLOCK)
    filled = np.asarray(cv2.resize(inside.astype(np.float32), small, interpolation=cv2.INTER_AREA))
    sums = np.asarray(cv2.resize(pixels.astype(np.float32), small, interpolation=cv2.INTER_AREA))
    chosen = filled >= 0.5
    return float((sums[chosen] / filled[chosen]).std()) if chosen.any() else 0.0
