"""The images that the model judges worst, and what it saw in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.imaging.pixels import Pixels
from ml_tasks.records import Split

SHOWN = 6  # of each kind
# Of Okabe and Ito's colours (Color universal design, 2008), which no colour blindness merges.
_FOR, _AGAINST = (213, 94, 0), (0, 114, 178)  # red, green, blue
_OPACITY = 0.65  # of the strongest colour: the film stays visible under it


@dataclass(frozen=True)
class Case:
    """One wrongly judged image: finished pixels (H,W) uint8 and activation map (h,w) float32."""

    answer: PredictionRow
    pixels: Pixels
    activation: NDArray[np.float32]


def false_negatives(
    predictions: Sequence[PredictionRow], positive: str, threshold: float
) -> list[PredictionRow]:
    """Test images of the positive class below the threshold, the least suspected first."""
    wrong = _wrong(predictions, positive, threshold)
    missed = [row for row in wrong if row.label == positive]
    return sorted(missed, key=lambda row: (row.probability, row.raw))[:SHOWN]


def false_positives(
    predictions: Sequence[PredictionRow], positive: str, threshold: float
) -> list[PredictionRow]:
    """Test images of the negative class from the threshold on, the most suspected first."""
    wrong = _wrong(predictions, positive, threshold)
    alarms = [row for row in wrong if row.label != positive]
    return sorted(alarms, key=lambda row: (-row.probability, row.raw))[:SHOWN]


def _wrong(
    predictions: Sequence[PredictionRow], positive: str, threshold: float
) -> list[PredictionRow]:
    return [
        row
        for row in predictions
        if row.split is Split.TEST and (row.label == positive) is not (row.probability >= threshold)
    ]


def strongest(cases: Sequence[Case]) -> float:
    """The largest activation of all, so that one colour means the same on each picture."""
    return max((float(np.abs(case.activation).max()) for case in cases), default=0.0)


def overlay_png(case: Case, scale: float) -> bytes:
    """The picture under its activation map as a PNG: orange speaks for the positive class, blue
    against it; an activation of `scale` has the fullest colour.
    """
    height, width = case.pixels.shape
    grown = cv2.resize(case.activation, (width, height), interpolation=cv2.INTER_LINEAR)
    share = np.clip(np.asarray(grown) / (scale or 1.0), -1, 1)[..., np.newaxis]
    colour = np.where(share > 0, np.array(_FOR), np.array(_AGAINST))
    opacity = np.abs(share) * _OPACITY
    mixed = case.pixels[..., np.newaxis] * (1 - opacity) + colour * opacity
    bgr = mixed.round().astype(np.uint8)[..., ::-1]
    return cv2.imencode(".png", np.ascontiguousarray(bgr))[1].tobytes()
