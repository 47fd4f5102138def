"""How often the gate errs: seeded draws of two models on the same patients, by the real rule.

Scores are normal in each class with a correlation of 0.5 between the models, on 150 test patients,
half of them positive. The champion's AUC is 0.90, the margin 0.05. Full tier: 1,000 draws with the
gate's own 2,000 resamples each; `make test` makes 60 draws with 400 resamples, and bounds that a
right rule exceeds for one seed in a thousand.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from ml_tasks.config_gate import GatePolicy
from ml_tasks.evaluation.bootstrap import Estimate
from ml_tasks.evaluation.comparison import Comparison, compare
from ml_tasks.evaluation.gate_rules import decide
from ml_tasks.evaluation.levels import Scored
from ml_tasks.records import Verdict
from tests.counts import cases
from tests.toy_run import OUTLINE_CONTROL, toy_metrics

PATIENTS, CORRELATION, MARGIN, CHAMPION = 150, 0.5, 0.05, 0.90
BETTER = 0.03  # the effect size at which four in five must pass
DRAWS, RESAMPLES = cases(60, 1000), cases(400, 2000)


def drawn(seed: int, challenger: float) -> tuple[Scored, Scored]:
    """Both models' answers on one draw of patients; their AUCs are `challenger` and CHAMPION."""
    random = np.random.default_rng([seed, 4])
    labels = np.arange(PATIENTS) % 2 == 0
    shared = random.normal(size=PATIENTS)
    sides = []
    for auc in (challenger, CHAMPION):
        own = random.normal(size=PATIENTS)
        noise = np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * own
        scores = norm.cdf(noise + labels * np.sqrt(2) * norm.ppf(auc))
        sides.append(Scored(labels, scores, np.arange(PATIENTS)))
    return sides[0], sides[1]


def passes(seed: int, challenger: float) -> bool:
    """Whether the rule of non-inferiority passes the challenger of one draw."""
    champion, difference = compare(*drawn(seed, challenger), (0.5, 0.5), seed, RESAMPLES)
    comparison = Comparison(version="V", digest="d", champion=champion, difference=difference)
    policy = GatePolicy.model_validate({"non_inferiority": {"margin": MARGIN}})
    decision = decide(toy_metrics(), comparison, policy, OUTLINE_CONTROL)
    (rule,) = (rule for rule in decision.rules if rule.rule == "non_inferiority")
    return rule.verdict is Verdict.PASS


def test_a_model_worse_by_the_margin_hardly_ever_passes() -> None:
    passed = sum(passes(seed, CHAMPION - MARGIN) for seed in range(DRAWS))
    most = 65 if DRAWS == 1000 else int(binom.ppf(0.999, DRAWS, 0.025))
    assert passed <= most, f"{passed} of {DRAWS} passed"


def test_a_better_model_passes_four_times_in_five() -> None:
    passed = sum(passes(seed, CHAMPION + BETTER) for seed in range(DRAWS))
    least = 800 if DRAWS == 1000 else int(binom.ppf(0.001, DRAWS, 0.8))
    assert passed >= least, f"{passed} of {DRAWS} passed"


def test_both_models_are_held_to_the_same_drawn_patients() -> None:
    """Drawn apart, the difference of a model and its near twin would seem to vary."""
    model, _ = drawn(1, 0.85)
    random = np.random.default_rng(2)
    twin = Scored(model.labels, model.scores + random.normal(0, 1e-3, PATIENTS), model.patients)
    champion, difference = compare(model, twin, (0.5, 0.5), 1, resamples=300)
    auc, own = difference["auc"], champion["auc"]
    assert auc.low is not None and auc.high is not None and own.low is not None
    assert own.high is not None and auc.high - auc.low < 0.1 * (own.high - own.low)


def test_only_the_very_same_model_is_known_to_be_equal() -> None:
    """Two models that err on the same fifty patients may well differ on the next."""
    labels = np.arange(100) % 2 == 0
    scores = np.linspace(0.1, 0.9, 100)
    model = Scored(labels, scores, np.arange(100))
    _, difference = compare(model, model, (0.5, 0.5), 1, resamples=300)
    assert difference["auc"] == difference["sensitivity"] == Estimate(value=0, low=0, high=0)
    other = Scored(labels, scores**1.01, np.arange(100))
    _, difference = compare(model, other, (0.5, 0.5**1.01), 1, resamples=300)
    low = difference["sensitivity"].low
    assert difference["sensitivity"].value == 0 and low is not None and low < -0.1


def test_two_perfect_models_are_not_known_to_be_equal() -> None:
    labels = np.arange(40) % 2 == 0
    perfect, other = (
        Scored(labels, np.where(labels, high, 0.1), np.arange(40)) for high in (0.9, 0.8)
    )
    _, difference = compare(perfect, other, (0.5, 0.5), 1, resamples=300)
    low, high = difference["auc"].low, difference["auc"].high
    assert low is not None and high is not None
    assert -0.15 < low < -0.05 and high == pytest.approx(-low)


def test_thresholds_are_each_models_own() -> None:
    labels = np.arange(40) % 2 == 0
    high = Scored(labels, np.where(labels, 0.9, 0.6), np.arange(40))
    low = Scored(labels, np.where(labels, 0.4, 0.1), np.arange(40))
    champion, difference = compare(high, low, (0.7, 0.3), 1, resamples=300)
    assert champion["sensitivity"].value == champion["specificity"].value == 1
    assert difference["sensitivity"].value == difference["specificity"].value == 0
    champion, difference = compare(high, low, (0.5, 0.5), 1, resamples=300)
    assert difference["sensitivity"].value == 1 and difference["specificity"].value == -1


def test_answers_on_other_patients_are_never_compared() -> None:
    one, other = drawn(1, 0.85)
    with pytest.raises(ValueError, match="the same cases in one order"):
        compare(one, Scored(~other.labels, other.scores, other.patients), (0.5, 0.5), 1)
