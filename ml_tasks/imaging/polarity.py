"""Whether a film's background is white, and how surely."""

from __future__ import annotations

import cv2
import numpy as np

from ml_tasks.imaging.frame import Window, black_border, inside_frame, without_mixed_lines
from ml_tasks.imaging.pixels import Pixels, convex, filled, shrunk
from ml_tasks.imaging.spec import ImageSpec


def background_is_white(pixels: Pixels, spec: ImageSpec) -> bool:
    """Whether pixels (H,W) are an inverted film."""
    return whiteness(pixels, spec) > 0


def whiteness(pixels: Pixels, spec: ImageSpec) -> float:
    """Above 0 where pixels (H,W) are an inverted film; black padding and white frame do not count.

    Two signs are added up. The background is near one end of the grey scale: the share of pixels
    near white less that near black. And a breast bulges while the background around it is hollow:
    how much of its convex hull the dark class (Otsu) fills, less that of the bright class. On
    mini-MIAS neither alone is right for all films; their sum is, either way round: 0.07 from 0 at
    least, 0.9 in the middle. Near 0 are films that the breast fills.
    """
    film = _middle(shrunk(pixels, spec.polarity_side), spec)
    white = np.count_nonzero(film >= 255 - spec.polarity_end) / film.size
    black = np.count_nonzero(film <= spec.polarity_end) / film.size
    bright = np.asarray(cv2.threshold(film, 0, 1, cv2.THRESH_OTSU)[1], np.uint8)
    dark = np.asarray(1 - bright, np.uint8)
    form = _solidity(dark) - _solidity(bright)
    return float(white - black + spec.polarity_form * form)


def _middle(pixels: Pixels, spec: ImageSpec) -> Pixels:
    """The film without padding and frame, in either order, faintly smoothed."""
    film = _trimmed(pixels, black_border(pixels, spec))
    for turned in (0, 255):  # a white frame, and one that an inversion has made black
        rows, columns = inside_frame(film ^ np.uint8(turned), spec)
        film = film[rows, columns]
    film = _trimmed(film, black_border(film, spec))
    smooth = cv2.GaussianBlur(np.ascontiguousarray(film), (3, 3), 0)
    return np.asarray(smooth, np.uint8)


def _trimmed(pixels: Pixels, window: Window) -> Pixels:
    rows, columns = without_mixed_lines(window, pixels.shape)
    return pixels[rows, columns]


def _solidity(mask: Pixels) -> float:
    """A mask's (H,W) largest body, less its holes, as a share of its convex hull; 0 if empty."""
    body = filled(mask) & mask
    area = np.count_nonzero(body)
    return area / np.count_nonzero(convex(body)) if area else 0.0
