"""What labels, markers, tape and forms look like in figures, wherever on the film they stand.

A fixed description for the controls in `shortcuts`. A network would need thousands of films to
learn that a marker a few pixels wide tells the classes apart, wherever in its corner it stands;
these figures see it with some tens of patients. Cell by cell grey levels alone do not (AUC 0.7
on the planted markers of the tests, where these reach 0.9 and more).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.imaging.pixels import Pixels

SIDE = 128  # pixels; pictures of another side are brought to it, since the sizes below count them
_LEVELS = (40, 80, 120, 160, 200)  # grey levels: faint text to saturated lead
# Longest sides of bodies in pixels: specks; what markers and letters have (2 to 11 % of the film);
# frames, tape and whole labels.
_SMALL, _LARGE = 3, 14
_WIDTHS = (3, 5, 9, 13)  # pixels; a top-hat of each keeps what is narrower
_BRIGHT = (30, 60, 120)  # grey levels over the surroundings
_CORNERS, _CELLS = 4, 8  # the picture in 4x4 and 8x8 parts
_NO_MARKER = (0.0, *[-1.0] * 9)


def shortcut_features(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Figures (N,F) float32 of pictures (N,H,W) uint8; each row depends on its picture alone."""
    return np.stack([_of_one(picture) for picture in pictures])


def _of_one(picture: Pixels) -> NDArray[np.float32]:
    fitting = picture.shape == (SIDE, SIDE)
    resized = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    pixels = picture if fitting else np.asarray(resized, np.uint8)
    parts = [np.bincount(pixels.ravel() >> 4, minlength=16) / pixels.size]
    parts += [_bodies((pixels > level).astype(np.uint8)) for level in _LEVELS]
    parts += [_narrow(pixels, width) for width in _WIDTHS]
    parts.append(_in_cells(pixels.astype(np.float32), _CELLS).mean(axis=(1, 3)).ravel())
    return np.concatenate(parts).astype(np.float32)


def _bodies(mask: Pixels) -> NDArray[np.float64]:
    """Count and area of a mask's (H,W) bodies by size, and form and place of the marker-sized."""
    _, _, statistics, centroids = cv2.connectedComponentsWithStats(mask)
    boxes, centres = np.asarray(statistics[1:], float), np.asarray(centroids[1:], float)
    area = boxes[:, cv2.CC_STAT_AREA]
    width, height = boxes[:, cv2.CC_STAT_WIDTH], boxes[:, cv2.CC_STAT_HEIGHT]
    longest = np.maximum(width, height)
    marker = (longest >= _SMALL) & (longest < _LARGE)
    counted = [
        figure
        for group in (longest < _SMALL, marker, longest >= _LARGE)
        for figure in (float(group.sum()), float(area[group].sum()))
    ]
    if not marker.any():
        return np.array([*counted, *_NO_MARKER])
    full, form = (area / (width * height))[marker], (width / height)[marker]
    down, across, largest = centres[marker, 1], centres[marker, 0], int(area[marker].argmax())
    of_largest = (area[marker].max(), full[largest], form[largest])
    means = (full.mean(), form.mean(), down.mean(), across.mean())
    return np.array([*counted, *of_largest, *means, full.max(), down.min(), down.max()])


def _narrow(pixels: Pixels, width: int) -> NDArray[np.float64]:
    """How much stands out that is narrower than `width` (white top-hat), in all and by part."""
    square = np.ones((width, width), np.uint8)
    over = np.asarray(cv2.morphologyEx(pixels, cv2.MORPH_TOPHAT, square), np.float64)
    parts = _in_cells(over, _CORNERS)
    everywhere = [over.mean(), *[float((over > level).sum()) for level in _BRIGHT]]
    return np.concatenate(
        [parts.mean(axis=(1, 3)).ravel(), parts.max(axis=(1, 3)).ravel(), everywhere]
    )


def _in_cells(pixels: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    """Pixels (SIDE,SIDE) seen as (count, rows, count, columns)."""
    return pixels.reshape(count, SIDE // count, count, SIDE // count)
