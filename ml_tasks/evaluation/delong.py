"""The area under the ROC curve with DeLong's variance: no resampling, no assumption of form.

DeLong, DeLong and Clarke-Pearson (Comparing the areas under two or more correlated receiver
operating characteristic curves, Biometrics 1988), computed from midranks as Sun and Xu do (Fast
implementation of DeLong's algorithm, IEEE Signal Processing Letters 2014): N log N, not N squared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_tasks.evaluation.exact_intervals import CONFIDENCE
from ml_tasks.evaluation.metrics import Labels, Scores, check_scores


@dataclass(frozen=True)
class Auc:
    """An AUC (0..1), its standard error, and its normal interval cut to 0..1."""

    value: float
    standard_error: float
    low: float
    high: float


def auc_with_delong(labels: Labels, scores: Scores) -> Auc:
    """The AUC of `scores` (N,) for `labels` (N,) with its 95 % interval; ties count half.

    The N images are taken as independent; where patients have several, the interval of
    `patient_bootstrap` is the honest one.

    Raises:
        MetricError: only one class, or a score that is no number.
    """
    from scipy.stats import norm  # as in exact_intervals: a second to load

    check_scores(labels, scores)
    of_positives, of_negatives = placements(labels, scores)
    auc = float(of_positives.mean())
    # One positive or one negative alone has no variance that could be told.
    variance = sum(
        float(part.var(ddof=1)) / len(part)
        for part in (of_positives, of_negatives)
        if len(part) > 1
    )
    error = float(np.sqrt(variance))
    reach = float(norm.ppf(0.5 + CONFIDENCE / 2)) * error
    return Auc(auc, error, max(0.0, auc - reach), min(1.0, auc + reach))


def placements(labels: Labels, scores: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each positive (P,) the share of negatives below it, for each negative (Q,) of positives
    above it: the structural components, the mean of either is the AUC.
    """
    from scipy.stats import rankdata

    positive, negative = scores[labels], scores[~labels]
    together = rankdata(np.concatenate([positive, negative]))
    above = (together[: len(positive)] - rankdata(positive)) / len(negative)
    below = 1 - (together[len(positive) :] - rankdata(negative)) / len(positive)
    return above, below
