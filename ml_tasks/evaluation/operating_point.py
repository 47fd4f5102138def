"""The operating threshold: chosen on the validation split by a named rule, then frozen."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_curve

from ml_tasks.config import EvaluationConfig
from ml_tasks.evaluation.metrics import Labels, Scores, check_scores


def operating_threshold(labels: Labels, scores: Scores, rule: EvaluationConfig) -> float:
    """The threshold from which on an image counts as positive; `scores` (N,) in 0..1.

    `youden`: the largest sensitivity + specificity - 1. `sensitivity`: the largest specificity at
    which sensitivity is at least `threshold_value`. `specificity`: the largest sensitivity at which
    specificity is at least `threshold_value`. It lies halfway to the next lower score, so that
    rounding does not move an image across.

    Raises:
        MetricError: only one class, or a score that is no number.
    """
    check_scores(labels, scores)
    false_rate, sensitivity, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    specificity = 1 - false_rate
    gain = {
        "youden": sensitivity + specificity,
        "sensitivity": np.where(sensitivity >= rule.threshold_value - 1e-9, specificity, -1),
        "specificity": np.where(specificity >= rule.threshold_value - 1e-9, sensitivity, -1),
    }[rule.threshold_rule]
    best = float(thresholds[int(np.argmax(gain))])
    if np.isinf(best):  # nothing beats calling everything negative
        return 1.0
    lower = scores[scores < best]
    return (best + (float(lower.max()) if lower.size else 0.0)) / 2


def rule_in_words(rule: EvaluationConfig) -> str:
    """The rule for a report."""
    if rule.threshold_rule == "youden":
        return "largest sensitivity + specificity - 1 (Youden) on the validation split"
    other = {"sensitivity": "specificity", "specificity": "sensitivity"}[rule.threshold_rule]
    return (
        f"largest {other} at a {rule.threshold_rule} of at least {rule.threshold_value:g} "
        "on the validation split"
    )
