"""The array that every step of cleaning takes and returns, and the shapes it is worked with."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def shrunk(pixels: Pixels, side: int) -> Pixels:
    """Pixels (H,W) with their longest side brought to `side`, each the mean of what it covers."""
    height, width = pixels.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def disc(diameter: int) -> Pixels:
    """A filled disc (diameter, diameter), 1 inside: the structuring element without corners."""
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    return cast(Pixels, shape)


def opened(mask: Pixels, diameter: int) -> Pixels:
    """A mask (H,W) without what a disc of this diameter does not fit into; edges do not erode."""
    return cast(Pixels, cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc(diameter)))


def dilated(mask: Pixels, diameter: int) -> Pixels:
    """A mask (H,W) grown by half a disc's diameter on every side."""
    return cast(Pixels, cv2.dilate(mask, disc(diameter)))


def distance(mask: Pixels) -> NDArray[np.float32]:
    """How far each pixel (H,W) lies from a mask, in pixels; 0 inside."""
    away = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_3)
    return np.asarray(away, np.float32)


def within(mask: Pixels, radius: int) -> Pixels:
    """A mask (H,W) grown by a radius: for large ones many times as fast as a dilation."""
    return (distance(mask) <= radius).astype(np.uint8)


def filled(mask: Pixels) -> Pixels:
    """The largest body of a mask (H,W) without its holes."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    drawn = np.zeros_like(mask)
    if outlines:
        cv2.drawContours(drawn, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return drawn


def convex(mask: Pixels) -> Pixels:
    """The convex hull of the largest body of a mask (H,W)."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    drawn = np.zeros_like(mask)
    if outlines:
        cv2.fillConvexPoly(drawn, cv2.convexHull(max(outlines, key=cv2.contourArea)), 1)
    return drawn
