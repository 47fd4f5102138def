"""Calibration figures on scores whose calibration is known."""

from __future__ import annotations

import numpy as np
import pytest

from ml_tasks.evaluation.calibration import (
    calibration_slope,
    logits,
)
from ml_tasks.evaluation.weighted import figures

RANDOM = np.random.default_rng(5)
LOG_ODDS = RANDOM.normal(0, 2, 20_000)
RIGHT = 1 / (1 + np.exp(-LOG_ODDS))
LABELS = RANDOM.random(20_000) < RIGHT


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_slope_says_how_much_too_extreme(factor: float) -> None:
    scores = 1 / (1 + np.exp(-LOG_ODDS * factor))
    assert calibration_slope(LABELS, scores) == pytest.approx(1 / factor, rel=0.05)


def test_right_probabilities_have_no_calibration_error() -> None:
    one = np.ones((1, len(LABELS)))
    right = figures(LABELS, RIGHT, 0.5, one)
    wrong = figures(LABELS, np.asarray(np.clip(RIGHT * 1.5, 0, 1)), 0.5, one)
    assert right["ece"][0] < 0.015 and wrong["ece"][0] > 0.1
    assert right["brier"][0] < wrong["brier"][0]


def test_log_odds_of_certainty_are_finite() -> None:
    assert np.isfinite(logits(np.array([0.0, 1.0]))).all()
    assert logits(np.array([0.5]))[0] == 0.0
