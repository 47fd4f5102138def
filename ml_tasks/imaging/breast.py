"""Finding the breast: the region of a film that is kept, labels, text and tape left outside.

The pectoral muscle stays in: in oblique views tissue lies over and beside it, lesions too.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.background import background
from ml_tasks.imaging.frame import black_border
from ml_tasks.imaging.pixels import (
    Pixels,
    convex,
    dilated,
    disc,
    distance,
    filled,
    opened,
    shrunk,
    within,
)
from ml_tasks.imaging.spec import ImageSpec

__all__ = ["BreastRegion", "Pixels", "blank", "breast_region", "largest_body", "with_margin"]

_BLANK = "no breast stands out from the background; a blank image?"


@dataclass(frozen=True)
class BreastRegion:
    """What of a film is kept, and how much stood beside it."""

    mask: Pixels  # (H,W), 1 inside
    parts: int  # bodies of a label's brightness apart from the breast: labels, lines of text, tape


def blank(pixels: Pixels, spec: ImageSpec) -> bool:
    """Whether pixels (H,W) are one grey level all over: nothing was exposed."""
    return bool(_smoothed(shrunk(pixels, spec.working_side)).std() < spec.min_contrast)


def breast_region(pixels: Pixels, spec: ImageSpec) -> BreastRegion:
    """The breast in pixels (H,W) with a dark background and no frame.

    Two thresholds: the bright one tells the breast from labels that only their glow connects with
    it, the faint one, just over the background's noise, follows the skin line from there. What is
    thinner than the opening (text, tape, scratches) goes at both. A margin of bare film is kept.

    Raises:
        ImageRejected: `no_breast`, nothing of a breast's size stands out.
    """
    small = _smoothed(shrunk(pixels, spec.working_side))
    if small.std() < spec.min_contrast:  # nothing to tell background and tissue apart by
        raise ImageRejected("no_breast", _BLANK)
    film = black_border(small, spec)
    inside = np.ascontiguousarray(small[film])
    levels = background(inside, spec)
    bright = (inside > levels.tissue).astype(np.uint8)
    core = _core(bright, small.size, spec)
    away = distance(core)
    apart = opened(_apart(bright, core, away > spec.hollow), spec.speck)
    kept_out = dilated(apart, spec.regrowth) & (1 - core)
    faint = (inside > levels.skin).astype(np.uint8) & (1 - kept_out) | core
    body = _grown(core, faint, away <= spec.reach, spec)
    other = opened(faint & (1 - body), spec.speck) | kept_out & (1 - body)
    mask = with_margin(body, other, small.shape, film, spec)
    return BreastRegion(_full_size(mask, pixels.shape), _count(apart & (1 - body), spec))


def largest_body(mask: Pixels) -> Pixels:
    """The largest connected body of a mask (H,W); one at a side edge counts double.

    A breast stands at the chest wall, a label need not.
    """
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return np.zeros_like(mask)
    left, width = statistics[1:, cv2.CC_STAT_LEFT], statistics[1:, cv2.CC_STAT_WIDTH]
    at_edge = (left == 0) | (left + width == mask.shape[1])
    weighed = statistics[1:, cv2.CC_STAT_AREA] * np.where(at_edge, 2, 1)
    return (labels == 1 + int(weighed.argmax())).astype(np.uint8)


def with_margin(
    body: Pixels, other: Pixels, shape: tuple[int, ...], film: tuple[slice, slice], spec: ImageSpec
) -> Pixels:
    """A breast (h,w) found in the window `film`, with the bare film around it, as a mask (H,W).

    Radiologists mark lesions up to the skin and past it: in mini-MIAS one centre lies 8 mm outside.
    So `margin` is kept around the breast's convex hull, but only within `hollow` of the breast
    itself, and nothing of `other`. The margin ends at the edge along which the breast stands: the
    chest wall.
    """
    placed, kept_out = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    placed[film], kept_out[film] = body, other
    near = within(convex(placed), spec.margin) & within(placed, spec.hollow)
    margin = opened(near & (1 - kept_out) | placed, spec.regrowth) | placed
    return filled(_ended_at_walls(margin, placed, body, spec))


def _ended_at_walls(mask: Pixels, placed: Pixels, body: Pixels, spec: ImageSpec) -> Pixels:
    """A mask (H,W) cut to the extent of the breast `placed` at a side that it stands along.

    `body` is the same breast in the film's own window (h,w), the sides of which count.
    """
    left, _, width, _ = cv2.boundingRect(placed)
    if body[:, : spec.wall_depth].any(axis=1).mean() >= spec.wall_share:
        mask[:, :left] = 0
    if body[:, -spec.wall_depth :].any(axis=1).mean() >= spec.wall_share:
        mask[:, left + width :] = 0
    return mask


def _core(bright: Pixels, file_area: int, spec: ImageSpec) -> Pixels:
    """The breast at the bright threshold, the rim that the opening took given back."""
    core = largest_body(opened(bright, spec.opening))
    if np.count_nonzero(core) < spec.min_breast_share * file_area:
        raise ImageRejected("no_breast", _BLANK)
    return dilated(core, spec.regrowth) & bright


def _apart(bright: Pixels, core: Pixels, far: NDArray[np.bool_]) -> Pixels:
    """What is bright but not the breast: not joined to its core, or reaching far from it.

    What is joined to it and near is breast too: a nipple is thinner than the opening.
    """
    count, labels = cv2.connectedComponents(bright)
    joined = np.bincount(labels[core > 0], minlength=count) > 0
    lone = bright & ~joined[labels]
    count, pieces = cv2.connectedComponents(bright - core - lone)
    reaching = np.bincount(pieces[far], minlength=count) > 0
    reaching[0] = False
    return lone | reaching[pieces]


def _grown(core: Pixels, faint: Pixels, near: NDArray[np.bool_], spec: ImageSpec) -> Pixels:
    """The breast down to the faint threshold, no farther than `near`, holes filled."""
    wide = (opened(faint, spec.opening) | core) & near
    count, labels = cv2.connectedComponents(wide)
    body = (labels == np.bincount(labels[core > 0], minlength=count).argmax()).astype(np.uint8)
    return filled(body | dilated(body, spec.regrowth) & faint)


def _count(apart: Pixels, spec: ImageSpec) -> int:
    """Bodies in a mask; the letters of a line of text are one."""
    joined = cv2.morphologyEx(apart, cv2.MORPH_CLOSE, disc(spec.opening))
    return int(cv2.connectedComponents(joined)[0]) - 1


def _smoothed(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (5, 5), 0), np.uint8)


def _full_size(mask: Pixels, shape: tuple[int, ...]) -> Pixels:
    height, width = shape
    grown = cv2.resize(mask * 255, (width, height), interpolation=cv2.INTER_LINEAR)
    return (np.asarray(grown) > 127).astype(np.uint8)
