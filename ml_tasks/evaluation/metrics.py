"""Labels and scores, what they must be, and what a threshold makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_tasks.errors import MetricError

Labels = NDArray[np.bool_]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Confusion:
    """How many cases a threshold sorts rightly and wrongly."""

    found: int  # positives from the threshold on
    missed: int  # positives below it
    left_alone: int  # negatives below it
    false_alarms: int  # negatives from the threshold on

    @classmethod
    def of(cls, labels: Labels, scores: Scores, threshold: float) -> Confusion:
        """The counts of labels (N,) and scores (N,); a score at the threshold is positive."""
        said = scores >= threshold
        counts = (labels & said, labels & ~said, ~labels & ~said, ~labels & said)
        return cls(*(int(count.sum()) for count in counts))

    def __str__(self) -> str:
        return (
            f"{self.found} found, {self.missed} missed, {self.left_alone} left alone, "
            f"{self.false_alarms} false alarms"
        )


def check_scores(labels: Labels, scores: Scores) -> None:
    """Raises MetricError where scores are no numbers or there is one class only."""
    if not np.isfinite(scores).all():
        raise MetricError(
            f"{int((~np.isfinite(scores)).sum())} of {len(scores)} probabilities are no numbers; "
            "the model is broken: train it again"
        )
    if labels.all() or not labels.any():
        raise MetricError(
            f"the {len(labels)} images are all of one class, so no metric can be computed; "
            "add patients of the other class"
        )
