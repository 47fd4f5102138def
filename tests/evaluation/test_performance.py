"""Figures by level and slice, put together."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.performance import Answers, by_level, by_slice

RANDOM = np.random.default_rng(3)
PATIENTS = [f"P{number // 4:03}" for number in range(400)]
BREASTS = ["L", "L", "R", "R"] * 100
LABELS = np.repeat(RANDOM.random(200) < 0.3, 2)
SCORES = 1 / (1 + np.exp(-(RANDOM.normal(size=400) + 1.5 * LABELS)))
ANSWERS = Answers(LABELS, SCORES, PATIENTS, BREASTS)


def test_each_level_counts_its_own_cases() -> None:
    found = by_level(ANSWERS, 0.5, 1)
    assert [found[level].cases for level in Level] == [400, 200, 100]
    assert [found[level].patients for level in Level] == [100, 100, 100]
    assert found[Level.IMAGE].figures["auc"].value == pytest.approx(roc_auc_score(LABELS, SCORES))
    for one in found.values():
        auc = one.figures["auc"]
        assert auc.low is not None and auc.high is not None and auc.value is not None
        assert auc.low < auc.value < auc.high
        assert one.auc_delong.value == pytest.approx(auc.value)


def test_a_slice_holds_its_images_alone_and_the_smallest_comes_first() -> None:
    views = ["MLO" if number < 100 else "CC" for number in range(400)]
    found = by_slice(ANSWERS, {"view": views, "site": ["A"] * 400}, 0.5, 1)
    assert [(part.attribute, part.value) for part in found] == [("view", "MLO"), ("view", "CC")]
    assert [part.performance.patients for part in found] == [25, 75]
    first = ANSWERS.where(np.arange(400) < 100).levels()[Level.PATIENT]
    expected = roc_auc_score(first.labels, first.scores)
    assert found[0].performance.figures["auc"].value == pytest.approx(expected)


def test_a_slice_of_one_class_says_that_it_has_no_auc() -> None:
    kinds = ["ill" if label else "well" for label in LABELS]
    found = {part.value: part.performance for part in by_slice(ANSWERS, {"kind": kinds}, 0.5, 1)}
    assert found["well"].figures["auc"].value is None
    assert found["well"].figures["specificity"].value is not None
    assert found["well"].calibration_slope is None


def test_scores_that_part_the_classes_have_no_slope() -> None:
    labels = np.array([False] * 5 + [True] * 5)
    answers = Answers(labels, np.linspace(0.1, 0.9, 10), [str(n) for n in range(10)], [""] * 10)
    assert by_level(answers, 0.5, 1)[Level.PATIENT].calibration_slope is None


def test_one_positive_alone_has_an_auc_without_an_interval() -> None:
    labels = np.array([False] * 9 + [True])
    answers = Answers(labels, np.linspace(0.1, 0.9, 10), [str(n) for n in range(10)], [""] * 10)
    found = by_level(answers, 0.5, 1)[Level.PATIENT]
    assert str(found.auc_delong) == "1.000 (no interval)"
    assert found.auc_delong.low is None


def test_a_perfect_order_has_no_interval_by_delong_and_one_of_counts_by_resampling() -> None:
    """DeLong's variance is 0 there: [1, 1] would say that the model is known to be perfect."""
    labels = np.array([False] * 5 + [True] * 5)
    answers = Answers(labels, np.linspace(0.1, 0.9, 10), [str(n) for n in range(10)], [""] * 10)
    found = by_level(answers, 0.5, 1)[Level.PATIENT]
    assert str(found.auc_delong) == "1.000 (no interval)"
    low = found.figures["auc"].low
    assert low is not None and 0.5 < low < 0.9
