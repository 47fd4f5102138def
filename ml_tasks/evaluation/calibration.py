"""Whether a probability of 0.8 means eight in ten: the calibration slope."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ml_tasks.evaluation.metrics import Labels, Scores

_EDGE = 1e-7  # probabilities of 0 and 1 have no logit


def logits(scores: Scores) -> NDArray[np.float64]:
    """Log odds of probabilities (N,), those of 0 and 1 kept finite."""
    inside = np.clip(scores, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)


def calibration_slope(labels: Labels, scores: Scores) -> float:
    """The slope of a logistic regression of labels on log odds: 1 is right, below 1 too extreme.

    Van Calster and others (Calibration: the Achilles heel of predictive analytics, BMC Medicine
    2019).
    """
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(logits(scores)[:, np.newaxis], labels)
    return float(model.coef_[0, 0])
