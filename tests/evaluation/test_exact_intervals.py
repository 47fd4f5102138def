"""Intervals of perfect figures: as published, as computed otherwise, and never collapsed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from ml_tasks.evaluation.bootstrap import estimates
from ml_tasks.evaluation.exact_intervals import (
    auc_interval,
    binomial_interval,
    difference_interval,
)
from ml_tasks.evaluation.levels import Scored


def newcombes_quartic(auc: float, positives: int, negatives: int) -> list[float]:
    """The roots of the polynomial that method 5 comes to, as R's auRoc 0.2-1 solves it."""
    squared, half = norm.ppf(0.975) ** 2, (positives + negatives) / 2 - 1
    pairs = positives * negatives
    a, b, c = -1 - 2 * half, 1 + 2 * half, 2 + half
    d, e = 1 + 2 * auc, 2 - 2 * auc - auc**2
    f, g = auc**2 - 4 * auc, 2 * auc**2
    roots = np.roots(
        [
            -pairs + squared * a,
            pairs * d - squared * (a - b),
            pairs * e - squared * (b - c),
            pairs * f - squared * c,
            pairs * g,
        ]
    )
    return sorted(float(root.real) for root in roots if 0 < root.real <= 1 + 1e-9)


@pytest.mark.parametrize(
    ("auc", "positives", "negatives"), [(0.893, 51, 58), (0.8, 20, 30), (0.6, 9, 9)]
)
def test_the_interval_of_an_auc_is_newcombes(auc: float, positives: int, negatives: int) -> None:
    expected = newcombes_quartic(auc, positives, negatives)
    assert auc_interval(auc, positives, negatives) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("positives", "negatives"), [(9, 9), (23, 20), (60, 12)])
def test_a_perfect_auc_has_newcombes_lower_end(positives: int, negatives: int) -> None:
    low, high = auc_interval(1, positives, negatives)
    assert low == pytest.approx(newcombes_quartic(1, positives, negatives)[0], abs=1e-9)
    assert high == 1
    assert auc_interval(0, positives, negatives) == pytest.approx((0, 1 - low))


def test_a_model_at_the_lower_end_would_hardly_ever_look_perfect() -> None:
    """What the interval claims, seen with normal scores: at most one test in forty."""
    random = np.random.default_rng(3)
    low, _ = auc_interval(1, 9, 9)
    positives = random.normal(math.sqrt(2) * norm.ppf(low), 1, (20_000, 9))
    negatives = random.normal(0, 1, (20_000, 9))
    assert (positives.min(axis=1) > negatives.max(axis=1)).mean() < 0.025


@pytest.mark.parametrize(("found", "cases"), [(0, 9), (9, 9), (7, 9), (48, 50)])
def test_the_exact_binomial_interval_leaves_a_fortieth_on_each_side(found: int, cases: int) -> None:
    low, high = binomial_interval(found, cases)
    if found:
        assert binom.sf(found - 1, cases, low) == pytest.approx(0.025)
    if found < cases:
        assert binom.cdf(found, cases, high) == pytest.approx(0.025)
    assert (low == 0) is (found == 0) and (high == 1) is (found == cases)


def test_the_difference_of_two_shares_is_newcombes_hybrid_score_interval() -> None:
    """Newcombe 1998 (Statistics in Medicine 17:873), table II (a): 56/70 less 48/80 by Wilson's."""

    def wilson(found: int, cases: int) -> tuple[float, float, float]:
        z, share = norm.ppf(0.975), found / cases
        middle = share + z**2 / (2 * cases)
        reach = z * math.sqrt(share * (1 - share) / cases + z**2 / (4 * cases**2))
        scale = 1 + z**2 / cases
        return share, (middle - reach) / scale, (middle + reach) / scale

    low, high = difference_interval(wilson(56, 70), wilson(48, 80))
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def test_nine_patients_without_an_error_prove_no_perfect_model() -> None:
    """A bootstrap says [1, 1] from any number of patients, which would ship models."""
    labels = np.array([True, False] * 9)
    scored = Scored(labels, np.where(labels, 0.9, 0.1), np.arange(18))
    found = estimates(scored, 0.5, 1, resamples=200)
    assert found["auc"].low == pytest.approx(auc_interval(1, 9, 9)[0])
    for name in ("sensitivity", "specificity", "sensitivity_at_specificity_0.8"):
        assert (found[name].low, found[name].high) == pytest.approx((0.6637, 1), abs=1e-4)
    assert found["accuracy"].low == pytest.approx(0.025 ** (1 / 18))
    assert found["f1"].value == 1 and found["f1"].low is None
    opposite = estimates(Scored(~labels, scored.scores, scored.patients), 0.5, 1, resamples=200)
    assert (opposite["sensitivity"].low, opposite["auc"].low) == (0, 0)
    assert opposite["sensitivity"].high == pytest.approx(1 - 0.6637, abs=1e-4)


def test_images_of_the_same_patients_prove_no_more() -> None:
    labels, whose = np.array([True, False] * 9), np.arange(18)
    four = Scored(
        np.repeat(labels, 4), np.where(np.repeat(labels, 4), 0.9, 0.1), np.repeat(whose, 4)
    )
    found = estimates(four, 0.5, 1, resamples=200)
    assert found["sensitivity"].low == pytest.approx(binomial_interval(9, 9)[0])
