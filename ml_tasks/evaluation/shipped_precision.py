"""Whether the int8 model may ship in the float32 model's place, from what both say of the test."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ml_tasks.evaluation.delong import placements
from ml_tasks.evaluation.metrics import Labels, Scores
from ml_tasks.records import Record

LEAST_AGREEMENT = 0.995  # share of the test images that keep their label
MOST_AUC_CHANGE = 0.005  # of the test images, up or down
Precision = Literal["float32", "int8"]


class ShippedPrecision(Record):
    """Which precision was asked for, which one ships, and the figures that decided."""

    asked: Precision
    shipped: Precision
    images: int  # of the test split
    agreement: float
    float32_auc: float | None = None  # None: not computable, one class is missing
    int8_auc: float | None = None
    auc_change: float | None = None  # int8 less float32

    def sentence(self) -> str:
        """What was asked, found and done, for the log, the report and the model card."""
        change = "not computable" if self.auc_change is None else f"{self.auc_change:+.4f}"
        found = (
            f"int8 keeps the label of {100 * self.agreement:.2f} % of the {self.images} test "
            f"images (at least {100 * LEAST_AGREEMENT:.1f} % must) and moves their AUC by {change} "
            f"(at most {MOST_AUC_CHANGE} is allowed)"
        )
        if self.shipped == "int8":
            return (
                f"The model is quantised to int8 and keeps the float32 model's calibration and "
                f"threshold: {found}; all figures are the int8 model's."
            )
        return f"int8 was asked for and does NOT ship: {found}. The model is float32."


def decide(labels: Labels, float32: Scores, int8: Scores, threshold: float) -> ShippedPrecision:
    """Holds both releases that could be made against each other, each as it would ship.

    `labels` (N,) of the test images, both models' calibrated answers (N,), and the threshold, which
    is float32's in both: int8 stands in for that model, so it keeps its operating point.
    """
    agreement = float(np.mean((float32 >= threshold) == (int8 >= threshold)))
    before, after = _auc(labels, float32), _auc(labels, int8)
    change = None if before is None or after is None else after - before
    holds = agreement >= LEAST_AGREEMENT and change is not None and abs(change) <= MOST_AUC_CHANGE
    return ShippedPrecision(
        asked="int8",
        shipped="int8" if holds else "float32",
        images=len(labels),
        agreement=agreement,
        float32_auc=before,
        int8_auc=after,
        auc_change=change,
    )


def _auc(labels: Labels, scores: Scores) -> float | None:
    """None where one class is missing."""
    if labels.all() or not labels.any():
        return None
    return float(placements(labels, scores)[0].mean())
