"""The figures that judge a model, against counts made by hand."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_tasks.config import EvaluationConfig
from ml_tasks.errors import MetricError
from ml_tasks.evaluation.metrics import Confusion, Labels, Scores
from ml_tasks.evaluation.operating_point import operating_threshold, rule_in_words
from ml_tasks.evaluation.weighted import figures
from tests.counts import cases

LABELS = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool)
SCORES = np.array([0.9, 0.8, 0.6, 0.2, 0.7, 0.4, 0.3, 0.2, 0.1, 0.0], np.float64)


def youden(labels: Labels, scores: Scores) -> float:
    return operating_threshold(labels, scores, EvaluationConfig())


def plain(labels: Labels, scores: Scores, threshold: float) -> dict[str, float]:
    found = figures(labels, scores, threshold, np.ones((1, len(labels))))
    return {name: float(values[0]) for name, values in found.items()}


def pairwise_auc(labels: Labels, scores: Scores) -> float:
    """The share of (positive, negative) pairs in the right order; a tie counts half."""
    pairs = [(p, n) for p in scores[labels] for n in scores[~labels]]
    return sum((p > n) + 0.5 * (p == n) for p, n in pairs) / len(pairs)


@pytest.mark.parametrize(
    ("threshold", "counts"),
    [
        (0.5, (3, 1, 5, 1)),
        (0.2, (4, 4, 2, 0)),  # an image at the threshold itself is positive
        (0.95, (0, 0, 6, 4)),
        (0.0, (4, 6, 0, 0)),
    ],
)
def test_the_confusion_matrix_is_that_counted_by_hand(
    threshold: float, counts: tuple[int, int, int, int]
) -> None:
    found = Confusion.of(LABELS, SCORES, threshold)
    assert (found.found, found.false_alarms, found.left_alone, found.missed) == counts
    tp, _, tn, _ = counts
    said = plain(LABELS, SCORES, threshold)
    assert said["accuracy"] == pytest.approx((tp + tn) / 10)
    assert said["sensitivity"] == pytest.approx(tp / 4)
    assert said["specificity"] == pytest.approx(tn / 6)
    assert str(found).startswith(f"{tp} found, {4 - tp} missed, {tn} left alone")


@settings(max_examples=cases(60, 2000), deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30))
def test_the_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[bool, int]]) -> None:
    labels = np.array([True, False, *(label for label, _ in pairs)])
    scores = np.array([0.5, 0.5, *(score / 6 for _, score in pairs)])
    assert plain(labels, scores, 0.5)["auc"] == pytest.approx(pairwise_auc(labels, scores))


def test_the_threshold_lies_halfway_to_the_next_lower_score() -> None:
    """Rounding to float32 in another runtime must not move an image across."""
    labels = np.array([0, 0, 1, 1], bool)
    assert youden(labels, np.array([0.1, 0.4, 0.6, 0.9])) == pytest.approx(0.5)


def test_the_threshold_is_the_best_by_trying_all() -> None:
    def gain(threshold: float) -> float:
        found = plain(LABELS, SCORES, threshold)
        return found["sensitivity"] + found["specificity"] - 1

    best = max(gain(float(score)) for score in SCORES)
    assert gain(youden(LABELS, SCORES)) == pytest.approx(best)


@pytest.mark.parametrize("value", [0.5, 0.75, 0.8, 0.95])
@pytest.mark.parametrize("rule", ["sensitivity", "specificity"])
def test_a_fixed_rule_keeps_its_value_and_makes_the_most_of_the_other(
    rule: Literal["sensitivity", "specificity"], value: float
) -> None:
    config = EvaluationConfig(threshold_rule=rule, threshold_value=value)
    other = "specificity" if rule == "sensitivity" else "sensitivity"
    found = plain(LABELS, SCORES, operating_threshold(LABELS, SCORES, config))
    assert found[rule] >= value
    tried = [plain(LABELS, SCORES, float(score)) for score in (*SCORES, 1.0)]
    assert found[other] == max(one[other] for one in tried if one[rule] >= value)
    assert f"a {rule} of at least {value:g}" in rule_in_words(config)


def test_a_threshold_at_the_lowest_score_stays_between_0_and_1() -> None:
    labels = np.array([1, 1, 0], bool)
    assert 0 <= youden(labels, np.array([0.3, 0.3, 0.2])) <= 1
    assert 0 <= youden(~labels, np.array([0.3, 0.3, 0.2])) <= 1


def test_a_model_that_is_always_wrong_calls_everything_negative() -> None:
    labels = np.array([1, 1, 0, 0], bool)
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    threshold = youden(labels, scores)
    assert Confusion.of(labels, scores, threshold).left_alone == 2


@pytest.mark.parametrize("labels", [np.ones(4, bool), np.zeros(4, bool)])
def test_one_class_alone_gives_no_threshold(labels: Labels) -> None:
    match = "the 4 images are all of one class.*add patients of the other class"
    with pytest.raises(MetricError, match=match):
        youden(labels, np.linspace(0, 1, 4))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_score_that_is_no_number_gives_no_threshold(value: float) -> None:
    scores = SCORES.copy()
    scores[3] = value
    with pytest.raises(MetricError, match="1 of 10 probabilities are no numbers"):
        youden(LABELS, scores)
