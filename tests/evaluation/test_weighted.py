"""Weighted figures are scikit-learn's, for any weights and with ties."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    recall_score,
    roc_auc_score,
)

from ml_tasks.evaluation.weighted import figures
from tests.counts import cases

THRESHOLD = 0.45


@pytest.mark.parametrize("seed", range(cases(20, 400)))
def test_every_figure_is_that_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(8, 200))
    labels = random.random(count) < 0.4
    labels[:2] = True, False
    exact = np.asarray(random.random(count) * 0.7 + labels * 0.3, np.float64)
    scores = np.asarray(np.round(exact, int(random.integers(1, 4))), np.float64)
    weights = random.integers(0, 4, (3, count)).astype(float)
    weights[:, :2] = 1
    found = figures(labels, scores, THRESHOLD, weights)
    for row, weight in enumerate(weights):
        said = scores >= THRESHOLD
        expected = {
            "auc": roc_auc_score(labels, scores, sample_weight=weight),
            "average_precision": average_precision_score(labels, scores, sample_weight=weight),
            "accuracy": accuracy_score(labels, said, sample_weight=weight),
            "balanced_accuracy": balanced_accuracy_score(labels, said, sample_weight=weight),
            "f1": f1_score(labels, said, sample_weight=weight, zero_division=0),
            "sensitivity": recall_score(labels, said, sample_weight=weight),
            "specificity": recall_score(~labels, ~said, sample_weight=weight),
            "brier": brier_score_loss(labels, scores, sample_weight=weight),
        }
        for name, value in expected.items():
            assert found[name][row] == pytest.approx(value, abs=1e-9), name


def test_sensitivity_at_a_specificity_is_the_best_threshold_that_keeps_it() -> None:
    labels = np.array([False] * 10 + [True] * 4)
    scores = np.array([*np.arange(10) / 10, 0.65, 0.75, 0.85, 0.95])
    found = figures(labels, scores, 0.5, np.ones((1, 14)))
    # At 0.8 the two highest negatives (0.8 and 0.9) may lie above: from 0.71 on.
    assert found["sensitivity_at_specificity_0.8"][0] == 0.75
    assert found["sensitivity_at_specificity_0.9"][0] == 0.5
    assert found["sensitivity_at_specificity_0.95"][0] == 0.25


def test_what_cannot_be_computed_is_no_number_and_not_zero() -> None:
    labels, scores = np.array([True, True, True]), np.array([0.2, 0.6, 0.9])
    found = figures(labels, scores, 0.5, np.ones((1, 3)))
    for name in ("auc", "specificity", "balanced_accuracy", "sensitivity_at_specificity_0.9"):
        assert np.isnan(found[name][0]), name
    assert found["sensitivity"][0] == pytest.approx(2 / 3)
    assert np.isnan(found["average_precision"][0])  # it would be 1 for any scores
    negatives = figures(~labels, scores, 0.5, np.ones((1, 3)))
    for name in ("auc", "sensitivity", "average_precision", "f1", "balanced_accuracy"):
        assert np.isnan(negatives[name][0]), name  # F1 would be 0 whatever the model says


def test_the_calibration_error_is_the_gap_of_each_bin_by_its_size() -> None:
    labels = np.array([True, False, True, True])
    scores = np.array([0.05, 0.05, 0.95, 0.85])
    found = figures(labels, scores, 0.5, np.ones((1, 4)))
    assert found["ece"][0] == pytest.approx((abs(0.1 - 1) + abs(0.95 - 1) + abs(0.85 - 1)) / 4)
