"""The film's place in the file: black padding around it, and the white frame of a scan."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.imaging.pixels import Pixels
from ml_tasks.imaging.spec import ImageSpec

Window = tuple[slice, slice]  # rows, columns


def black_border(pixels: Pixels, spec: ImageSpec) -> Window:
    """The window of pixels (H,W) inside lines that hold nothing: padding, or empty background.

    A line may hold specks of dust: `border_share` of it must be black.
    """
    return inside_lines(pixels <= spec.black_level, spec.border_share, depth=0.5)


def inside_lines(marked: NDArray[np.bool_], share: float, depth: float) -> Window:
    """The window of a mask (H,W) inside the lines of which at least `share` is marked.

    Counted from each edge inwards, at most `depth` of a side; never empty. Rows go first, so that
    a corner that two borders share counts for both.
    """
    counted = marked.view(np.uint8)
    rows = _between(_means(counted, 0), share, depth)
    return rows, _between(_means(counted[rows], 1), share, depth)


def without_mixed_lines(window: Window, shape: tuple[int, ...]) -> Window:
    """A window of an image of this shape, one line smaller on each side where a border was.

    Reducing an image mixes that line from border and film.
    """
    rows, columns = (
        slice(lines.start + (lines.start > 0), lines.stop - (lines.stop < length))
        for lines, length in zip(window, shape, strict=True)
    )
    empty = rows.stop <= rows.start or columns.stop <= columns.start
    return window if empty else (rows, columns)


def without_frame(pixels: Pixels, spec: ImageSpec) -> Pixels:
    """Pixels (H,W) with the white scan frame along the film's edges blackened; a copy.

    The frame is sought inside of any black padding. Lines that are white for the most part are
    frame, and so, for a frame along part of an edge or a slanting one, are rows that begin white;
    but either only where the white ends in one step, as no tissue does.
    """
    cleared = pixels.copy()
    film = cleared[black_border(pixels, spec)]
    height, width = film.shape
    rows, columns = inside_frame(film, spec)
    film[: rows.start] = film[rows.stop :] = 0
    film[:, : columns.start] = film[:, columns.stop :] = 0
    middle = film[rows, columns]
    deep, wide = int(height * spec.frame_depth), int(width * spec.frame_depth)
    for strip in (
        middle[:, :wide],
        middle[:, ::-1][:, :wide],
        middle[:deep].T,
        middle[::-1][:deep].T,
    ):
        _clear_partial(strip, spec)
    return cleared


def inside_frame(film: Pixels, spec: ImageSpec) -> Window:
    """The window of a film (H,W) inside the lines that are white frame from end to end."""
    found = inside_lines(film >= spec.frame_level, spec.frame_share, spec.frame_depth)
    ended = []
    for axis, lines in enumerate(found):
        means = _means(film, axis)
        first = _stepped(means, lines.start, spec)
        last = _stepped(means[::-1], len(means) - lines.stop, spec)
        ended.append(slice(first, len(means) - last))
    return without_mixed_lines((ended[0], ended[1]), film.shape)


def _means(pixels: Pixels, axis: int) -> NDArray[np.float64]:
    """The mean of each line of pixels (H,W) along an axis; five times as fast as numpy's own."""
    sums = cv2.reduce(pixels, 1 - axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    return np.asarray(sums.ravel() / pixels.shape[1 - axis], np.float64)


def _stepped(means: NDArray[np.floating], count: int, spec: ImageSpec) -> int:
    """How many of the first `count` lines are frame: all if the next but one is darker, or none."""
    if not count:
        return 0
    after = means[min(count + 1, len(means) - 1)]
    return count if means[count - 1] - after >= spec.frame_step else 0


def _clear_partial(strip: Pixels, spec: ImageSpec) -> None:
    """Blackens in place the rows of a strip (N,depth), from its edge on, that are frame.

    One pixel more is cleared: reduced decoding mixes it from frame and film.
    """
    length, depth = strip.shape
    if depth < 3:
        return
    white = strip >= spec.frame_level
    run = np.where(white.all(axis=1), 0, white.argmin(axis=1))  # deeper than a frame: none
    after = strip[np.arange(length), np.minimum(run + 1, depth - 1)]
    framed = (run > 0) & (run < depth - 1) & (after <= spec.frame_level - spec.frame_step)
    if np.count_nonzero(framed) < spec.frame_length * length:
        return
    reach = np.where(framed, run + 1, 0)
    strip[np.arange(depth) < reach[:, None]] = 0


def _between(shares: NDArray[np.floating], share: float, depth: float) -> slice:
    most = max(0, min(int(len(shares) * depth), (len(shares) - 1) // 2))
    return slice(_lines(shares[:most], share), len(shares) - _lines(shares[::-1][:most], share))


def _lines(shares: NDArray[np.floating], share: float) -> int:
    below = np.flatnonzero(shares < share)
    return int(below[0]) if below.size else len(shares)
