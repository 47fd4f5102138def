"""Finding the breast: polarity, scan frame, and the mask that leaves labels and tape outside."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.spec import ImageSpec

Pixels = NDArray[np.uint8]
_DARK, _BRIGHT = 40, 215
_BLANK = "no breast stands out from the background; a blank image?"


def dark_background(pixels: Pixels) -> Pixels:
    """Pixels (H,W) uint8 with a dark background: an inverted film is turned back.

    A mammogram's background is one flat area, so the larger extreme of the histogram is it.
    """
    dark = np.count_nonzero(pixels <= _DARK)
    bright = np.count_nonzero(pixels >= _BRIGHT)
    return 255 - pixels if bright > dark else pixels


def without_frame(pixels: Pixels, spec: ImageSpec) -> Pixels:
    """Pixels (H,W) uint8 with the bright scan frame along the edges blackened.

    A line belongs to the frame while most of it is near white, counted from each edge inwards.
    """
    bright = pixels >= spec.frame_level
    cleared = pixels.copy()
    height, width = pixels.shape
    rows, columns = bright.mean(axis=1), bright.mean(axis=0)
    top, bottom = _frame_lines(rows, spec), _frame_lines(rows[::-1], spec)
    left, right = _frame_lines(columns, spec), _frame_lines(columns[::-1], spec)
    cleared[:top] = 0
    cleared[height - bottom :] = 0
    cleared[:, :left] = 0
    cleared[:, width - right :] = 0
    return cleared


def breast_mask(pixels: Pixels, spec: ImageSpec) -> Pixels:
    """The breast region (H,W) uint8, 1 inside: the largest body that an opening leaves.

    Text, labels, markers and tape are thinner than the opening or stand apart; the skin line that
    the opening took is grown back, holes are filled.

    Raises:
        ImageRejected: `no_breast`, nothing of a breast's size stands out.
    """
    blurred = cv2.GaussianBlur(pixels, (5, 5), 0)
    if blurred.std() < spec.min_contrast:  # one grey level all over has no background to leave out
        raise ImageRejected("no_breast", _BLANK)
    otsu, _ = cv2.threshold(blurred, 0, 255, cv2.THRESH_OTSU)
    level = max(otsu * spec.threshold_share, spec.threshold_floor)
    bright = (blurred > level).astype(np.uint8)
    opened = cv2.morphologyEx(bright, cv2.MORPH_OPEN, _disc(spec.opening))
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(opened)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    if count < 2 or areas.max() < spec.min_breast_share * pixels.size:
        raise ImageRejected("no_breast", _BLANK)
    body = (labels == 1 + int(areas.argmax())).astype(np.uint8)
    return _filled(cv2.bitwise_and(cv2.dilate(body, _disc(spec.regrowth)), bright))


def _frame_lines(shares: NDArray[np.floating], spec: ImageSpec) -> int:
    deepest = int(len(shares) * spec.frame_depth)
    below = np.flatnonzero(shares[:deepest] < spec.frame_share)
    return int(below[0]) if below.size else deepest


def _disc(diameter: int) -> NDArray[np.uint8]:
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    return cast(NDArray[np.uint8], shape)


def _filled(mask: Any) -> Pixels:
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return filled
