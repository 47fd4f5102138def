"""The figures that judge a model: from labels and probabilities alone, by scikit-learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, roc_auc_score

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


def split_metrics(labels: Labels, scores: Scores, threshold: float) -> SplitMetrics:
    """Metrics of `scores` (N,) in 0..1 against `labels` (N,); positive from `threshold` on.

    Raises:
        MetricError: only one class, or a score that is no number.
    """
    check_scores(labels, scores)
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
