"""The figures that judge a model: from labels and probabilities alone, by scikit-learn."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from ml_tasks.errors import MetricError
from ml_tasks.records import Record

Labels = NDArray[np.bool_]
Scores = NDArray[np.float64]


class SplitMetrics(Record):
    """Figures of one split; positives are images of the positive class."""

    images: int
    positives: int
    accuracy: float
    auc: float
    sensitivity: float  # share of the positives that were found
    specificity: float  # share of the negatives that were left alone
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int


def youden_threshold(labels: Labels, scores: Scores) -> float:
    """The threshold with the largest sensitivity + specificity - 1; `scores` (N,) in 0..1.

    It lies halfway to the next lower score, so that rounding does not move an image across.

    Raises:
        MetricError: only one class, or a score that is no number.
    """
    _check(labels, scores)
    false_rate, true_rate, thresholds = roc_curve(labels, scores)
    best = int(np.argmax(true_rate - false_rate))
    if math.isinf(thresholds[best]):  # nothing beats calling everything negative
        return 1.0
    lower = scores[scores < thresholds[best]]
    below = float(lower.max()) if lower.size else 0.0
    return (float(thresholds[best]) + below) / 2


def split_metrics(labels: Labels, scores: Scores, threshold: float) -> SplitMetrics:
    """Metrics of `scores` (N,) in 0..1 against `labels` (N,); positive from `threshold` on.

    Raises:
        MetricError: only one class, or a score that is no number.
    """
    _check(labels, scores)
    matrix = confusion_matrix(labels, scores >= threshold, labels=[False, True])
    (tn, fp), (fn, tp) = ((int(count) for count in row) for row in matrix)
    return SplitMetrics(
        images=len(labels),
        positives=tp + fn,
        accuracy=(tp + tn) / len(labels),
        auc=float(roc_auc_score(labels, scores)),
        sensitivity=tp / (tp + fn),
        specificity=tn / (tn + fp),
        true_positives=tp,
        false_positives=fp,
        true_negatives=tn,
        false_negatives=fn,
    )


def _check(labels: Labels, scores: Scores) -> None:
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
