"""Contact sheets: many films before and after cleaning on one picture, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ml_tasks.imaging.pixels import Pixels

_GAP, _LINE = 8, 20  # pixels between tiles, and for a caption
_PAPER, _INK, _OUTLINE = 255, 0, 255


@dataclass(frozen=True)
class Tile:
    """One film on a sheet."""

    film: Pixels  # (S,S), the whole film
    kept: Pixels  # (S,S), above 0 where it was kept
    finished: Pixels  # (side,side)
    caption: str


def contact_sheet(tiles: Sequence[Tile], columns: int = 4) -> Pixels:
    """Tiles in rows (H,W) uint8: film with the kept region outlined, finished picture, caption."""
    drawn = [_drawn(tile) for tile in tiles]
    height, width = drawn[0].shape if drawn else (1, 1)
    rows = -(-len(drawn) // columns)
    shape = (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP)
    sheet = np.full(shape, _PAPER, np.uint8)
    for place, tile in enumerate(drawn):
        top = _GAP + place // columns * (height + _GAP)
        left = _GAP + place % columns * (width + _GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def _drawn(tile: Tile) -> Pixels:
    side = len(tile.film)
    film = tile.film.copy()
    inside = (tile.kept > 0).astype(np.uint8)
    outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(film, list(outlines), -1, _OUTLINE, 1)
    after = cv2.resize(tile.finished, (side, side), interpolation=cv2.INTER_NEAREST)
    caption = np.full((_LINE, 2 * side + _GAP // 2), _PAPER, np.uint8)
    at, font = (2, _LINE - 6), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(caption, tile.caption, at, font, 0.42, _INK, 1, cv2.LINE_AA)
    gap = np.full((side, _GAP // 2), _PAPER, np.uint8)
    return np.vstack([np.hstack([film, gap, np.asarray(after, np.uint8)]), caption])
