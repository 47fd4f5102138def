"""The interval is the patients', not the images'."""

from __future__ import annotations

import numpy as np
import pytest

from ml_tasks.errors import MetricError
from ml_tasks.evaluation.bootstrap import Estimate, estimates, patient_weights
from ml_tasks.evaluation.delong import auc_with_delong
from ml_tasks.evaluation.levels import Scored
from tests.counts import cases


def drawn(seed: int, patients: int, images: int = 1, shift: float = 1.0) -> Scored:
    """Patients whose images all score nearly alike; positives score higher by `shift`."""
    random = np.random.default_rng(seed)
    labels = random.random(patients) < 0.5
    labels[:2] = True, False
    base = random.normal(size=patients) + labels * shift
    whose = np.repeat(np.arange(patients), images)
    scores = 1 / (1 + np.exp(-(base[whose] + random.normal(0, 0.01, patients * images))))
    return Scored(labels[whose], scores, whose)


def width(estimate: Estimate) -> float:
    assert estimate.low is not None and estimate.high is not None
    return estimate.high - estimate.low


def test_images_of_one_patient_do_not_make_it_narrower() -> None:
    one, four = drawn(1, 100), drawn(1, 100, images=4)
    alone, together = (estimates(scored, 0.5, 7)["auc"] for scored in (one, four))
    assert width(together) == pytest.approx(width(alone), rel=0.15)
    naive = auc_with_delong(four.labels, four.scores)
    assert naive.high - naive.low < 0.65 * width(together)


def test_it_holds_the_truth_as_often_as_it_says() -> None:
    truth = 0.7602499389  # of normal scores one standard deviation apart: Phi(1/sqrt(2))
    count = cases(60, 1000)
    held = 0
    for seed in range(count):
        found = estimates(drawn(seed, 80), 0.5, seed, resamples=300)["auc"]
        assert found.low is not None and found.high is not None
        held += found.low <= truth <= found.high
    assert held / count > (0.85 if count < 100 else 0.92)


def test_one_class_alone_has_no_auc_but_a_sensitivity() -> None:
    scored = Scored(np.ones(5, bool), np.linspace(0.1, 0.9, 5), np.arange(5))
    found = estimates(scored, 0.5, 1, resamples=50)
    assert found["auc"] == Estimate(value=None)
    assert str(found["auc"]) == "not computable"
    assert found["sensitivity"].value == 0.6


def test_too_few_of_a_class_give_a_figure_without_an_interval() -> None:
    scored = Scored(np.array([True, *[False] * 9]), np.linspace(0.9, 0.1, 10), np.arange(10))
    found = estimates(scored, 0.5, 1, resamples=200)["auc"]  # a third has no positive
    assert found.value == 1.0 and found.low is None


def test_a_score_that_is_no_number_is_refused() -> None:
    scored = Scored(np.array([True, False]), np.array([0.5, np.nan]), np.arange(2))
    with pytest.raises(MetricError, match="no numbers"):
        estimates(scored, 0.5, 1)


def test_the_same_seed_draws_the_same_patients_in_any_portions() -> None:
    parts = list(patient_weights(np.array([0, 0, 1, 2]), 3, 50))
    weights = np.concatenate(parts)
    assert weights.shape == (50, 4)
    assert np.array_equal(weights[:, 0], weights[:, 1])
    assert np.all(weights[:, 1:].sum(axis=1) == 3)
