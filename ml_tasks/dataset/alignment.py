"""Laying one fingerprint over another and measuring how alike their textures are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.dataset.fingerprint import SIDE, Fingerprint, Values, texture

Matrix = NDArray[np.floating]  # (3,3), of points (x, y, 1)

_ANGLES = (-1.5, 0.0, 1.5)  # degrees; the refinement finds what lies between and a little beyond
_PADDED = 96  # the side at which textures are correlated, so that shifts do not wrap round
_REFINED = 2  # places that are worth a refinement
_CORRELATION_FLOOR = 0.12  # of whole textures; below it a place is chance
_STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)
_WIDEST, _SKEWEST = 1.55, 1.12  # largest enlargement; largest ratio of the two axes
_LEAST_COMMON = 0.6  # of the larger breast
_CENTRE = (SIDE - 1) / 2


@dataclass(frozen=True)
class Laid:
    """A first picture's texture turned and scaled for the search of its place on a second one."""

    correlation: float
    onto: Matrix  # points of the first picture to points of the second


def similarity(first: Fingerprint, second: Fingerprint, scale: float, flipped: bool) -> float:
    """How alike two fingerprints (64,64) int8 are, 0 to 1, once the first is laid on the second.

    `scale` is about how much larger the first must become; `flipped` whether one of them is
    mirrored (or upside down). The place is found by correlation over all shifts and refined to an
    affine map by enhanced correlation coefficient (Evangelidis and Psarakis, PAMI 2008, in
    OpenCV). The figure is Pearson's correlation over what both show; 0 where that is too little.
    """
    best = 0.0
    target, target_mask = texture(second)
    source, source_mask = texture(first)
    for laid in _places(source, target, scale, flipped)[:_REFINED]:
        if laid.correlation < _CORRELATION_FLOOR:
            break
        back = _refined(source, target, target_mask, np.linalg.inv(laid.onto))
        if back is None:
            continue
        moved = _moved(source, back, inverse=True)
        common = (_moved(source_mask, back, inverse=True) > 0.9) * target_mask
        enlarged = source_mask.sum() / abs(np.linalg.det(back[:2, :2]))
        if common.sum() >= _LEAST_COMMON * max(enlarged, target_mask.sum(), 1):
            best = max(best, _pearson(moved, target, common))
    return best


def _places(source: Values, target: Values, scale: float, flipped: bool) -> Sequence[Laid]:
    """Where the source fits best for each turn and flip, the best place first."""
    flips = ((-1, 1), (1, -1)) if flipped else ((1, 1), (-1, -1))
    turns = [_turn(angle, scale) @ _flip(*axes) for axes in flips for angle in _ANGLES]
    moved = np.stack([_moved(source, turn) for turn in turns])
    padded = (_PADDED, _PADDED)
    spectrum = np.conj(np.fft.rfft2(target, padded))
    maps = np.fft.irfft2(np.fft.rfft2(moved, padded) * spectrum, padded)
    norms = np.linalg.norm(moved, axis=(1, 2)) * np.linalg.norm(target) + 1e-6
    places = []
    for turn, values, norm in zip(turns, maps, norms, strict=True):
        row, column = divmod(int(values.argmax()), _PADDED)
        shift = np.eye(3)
        shift[:2, 2] = -_signed(column), -_signed(row)
        places.append(Laid(float(values[row, column] / norm), shift @ turn))
    return sorted(places, key=lambda laid: -laid.correlation)


def _refined(source: Values, target: Values, mask: Values, back: Matrix) -> Matrix | None:
    """The map from points of the target to the source, refined; None if it became absurd."""
    start = back[:2].astype(np.float32)
    inside = (mask * 255).astype(np.uint8)
    try:
        _, found = cv2.findTransformECC(target, source, start, cv2.MOTION_AFFINE, _STEPS, inside, 3)
    except cv2.error:  # it says so where it does not converge: these two do not fit
        return None
    long, short = np.linalg.svd(found[:, :2], compute_uv=False)
    if long > _WIDEST or short < 1 / _WIDEST or long > _SKEWEST * short:
        return None
    return np.vstack([found, [0, 0, 1]]).astype(np.float64)


def _pearson(first: Values, second: Values, weight: Values) -> float:
    total = float(weight.sum())
    first = (first - float((first * weight).sum()) / total) * weight
    second = (second - float((second * weight).sum()) / total) * weight
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum()) / norms if norms > 1e-6 else 0.0


def _moved(values: Values, matrix: Matrix, inverse: bool = False) -> Values:
    how = cv2.INTER_LINEAR | (cv2.WARP_INVERSE_MAP if inverse else 0)
    return np.asarray(cv2.warpAffine(values, matrix[:2], (SIDE, SIDE), flags=how), np.float32)


def _turn(degrees: float, scale: float) -> Matrix:
    return np.vstack([cv2.getRotationMatrix2D((_CENTRE, _CENTRE), degrees, scale), [0, 0, 1]])


def _flip(x: int, y: int) -> Matrix:
    return np.array([[x, 0, _CENTRE * (1 - x)], [0, y, _CENTRE * (1 - y)], [0, 0, 1]])


def _signed(shift: int) -> int:
    return shift - _PADDED if shift > _PADDED // 2 else shift
