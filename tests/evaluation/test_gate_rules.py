"""decide(): what passes, fails or cannot be told, and the sentence that says why."""

from __future__ import annotations

import math

import pytest

from ml_tasks.config_gate import GatePolicy, NonInferiority, SensitivityAtSpecificity, SliceMinima
from ml_tasks.dataset.shortcuts import OUTLINE, ControlResult
from ml_tasks.errors import MetricError
from ml_tasks.evaluation.bootstrap import Estimate
from ml_tasks.evaluation.comparison import Comparison, NoChampion
from ml_tasks.evaluation.gate_rules import decide
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.performance import Slice
from ml_tasks.records import GateDecision, RuleResult, Split, Verdict
from tests.toy_run import OUTLINE_CONTROL, around, toy_metrics, toy_performance

FIRST = NoChampion(proof="no model was ever released: the release ledger and the registry agree")
POLICY = GatePolicy(min_accuracy=0.8, min_auc=0.85, min_sensitivity=0.75)


def decided(
    metrics: Metrics | None = None,
    champion: Comparison | NoChampion = FIRST,
    policy: GatePolicy = POLICY,
    outline: ControlResult | None = OUTLINE_CONTROL,
) -> GateDecision:
    return decide(metrics or toy_metrics(), champion, policy, outline)


def rule(decision: GateDecision, name: str) -> RuleResult:
    return next(each for each in decision.rules if each.rule == name)


def compared(low: float, value: float, high: float, **changes: object) -> Comparison:
    difference = {"auc": Estimate(value=value, low=low, high=high)}
    made = Comparison(version="V1", digest="sha256:1", champion={}, difference=difference)
    return made.model_copy(update=changes)


def test_a_model_that_surely_reaches_every_bound_passes() -> None:
    decision = decided()
    assert decision.verdict is Verdict.PASS
    assert [(each.rule, each.sentence) for each in decision.rules] == [
        ("min_accuracy", "accuracy 0.900 reaches 0.80"),
        ("min_auc", "AUC 0.950 [0.920, 0.980] reaches 0.85"),
        ("min_sensitivity", "sensitivity 0.850 [0.820, 0.880] reaches 0.75"),
        ("max_ece", "calibration error 0.050 [0.020, 0.080] stays within 0.25"),
        (
            "max_control_auc",
            "AUC of the breast's outline alone 0.500 [0.420, 0.580] stays within 0.70",
        ),
        (
            "first_model",
            "no model was ever released: the release ledger and the registry agree; it is judged "
            "by the minima alone",
        ),
    ]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.85, 0.95, Verdict.PASS),  # the bound itself is reached
        (math.nextafter(0.85, 0), 0.95, Verdict.INCONCLUSIVE),
        (0.70, 0.85, Verdict.INCONCLUSIVE),
        (0.70, math.nextafter(0.85, 0), Verdict.FAIL),
    ],
)
def test_the_whole_interval_must_lie_on_one_side(low: float, high: float, verdict: Verdict) -> None:
    found = toy_metrics({"auc": Estimate(value=(low + high) / 2, low=low, high=high)})
    decision = decided(found)
    assert decision.verdict is rule(decision, "min_auc").verdict is verdict


def test_a_figure_between_pass_and_fail_says_that_it_cannot_be_told() -> None:
    decision = decided(toy_metrics({"auc": around(0.86), "sensitivity": around(0.6)}))
    assert rule(decision, "min_auc").sentence == (
        "AUC 0.860 [0.830, 0.890]: whether it reaches 0.85 cannot be told from 100 test patients"
    )
    assert rule(decision, "min_sensitivity").sentence == (
        "sensitivity 0.600 [0.570, 0.630] is below 0.75"
    )
    assert decision.verdict is Verdict.FAIL  # the worst of the rules


def test_the_guides_accuracy_goes_by_the_number_itself() -> None:
    assert decided(toy_metrics({"accuracy": around(0.80, 0.1)})).verdict is Verdict.PASS
    decision = decided(toy_metrics({"accuracy": around(0.79996, 0.1)}))
    assert decision.verdict is Verdict.FAIL
    assert rule(decision, "min_accuracy").sentence == "accuracy 0.79996 is below 0.80"


def test_no_rounding_makes_a_sentence_contradict_itself() -> None:
    policy = GatePolicy(min_accuracy=0.805)
    assert decided(policy=policy).rules[0].sentence == "accuracy 0.900 reaches 0.805"
    close = Estimate(value=0.9, low=0.84996, high=0.95)
    assert (
        "[0.84996, 0.950]: whether"
        in rule(decided(toy_metrics({"auc": close})), "min_auc").sentence
    )


def test_a_figure_without_an_interval_proves_nothing_but_what_holds_of_any() -> None:
    found = toy_metrics({"auc": Estimate(value=0.95)})
    decision = decided(found)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert "AUC 0.950 (no interval): whether it reaches 0.85" in rule(decision, "min_auc").sentence
    assert decided(found, policy=GatePolicy(min_auc=0)).verdict is Verdict.PASS


@pytest.mark.parametrize("name", ["accuracy", "auc", "sensitivity", "ece"])
@pytest.mark.parametrize("value", [None, 1.01, -0.1])
def test_a_headline_figure_that_is_no_share_is_an_error(name: str, value: float | None) -> None:
    """A FAIL would be a green run: a broken evaluation must not look like a weak model."""
    with pytest.raises(MetricError, match=r"not a number from 0 to 1: nothing can be decided"):
        decided(toy_metrics({name: Estimate(value=value)}))


def test_missing_figures_are_an_error() -> None:
    metrics = toy_metrics()
    bare = metrics.model_copy(update={"levels": {Split.VAL: metrics.levels[Split.TEST]}})
    with pytest.raises(MetricError, match="no figures of the test split's patients"):
        decided(bare)
    policy = GatePolicy(sensitivity_at_specificity=SensitivityAtSpecificity(min=0.5))
    lacking = toy_metrics().levels[Split.TEST]["patient"].figures  # type: ignore[index]
    assert "sensitivity_at_specificity_0.9" not in lacking
    other = SensitivityAtSpecificity(specificity=0.9, min=0.5)
    assert decided(policy=policy).verdict is Verdict.PASS
    with pytest.raises(MetricError, match=r"sensitivity at specificity 0\.9 is None"):
        decided(policy=GatePolicy(sensitivity_at_specificity=other))


@pytest.mark.parametrize(
    ("found", "verdict"),
    [(0.1, Verdict.PASS), (0.24, Verdict.INCONCLUSIVE), (0.4, Verdict.FAIL)],
)
def test_a_calibration_error_must_stay_below_its_bound(found: float, verdict: Verdict) -> None:
    decision = decided(toy_metrics({"ece": around(found)}))
    assert rule(decision, "max_ece").verdict is verdict


@pytest.mark.parametrize(
    ("low", "auc", "high", "verdict", "says"),
    [
        (0.45, 0.55, 0.65, Verdict.PASS, "stays within 0.70"),
        (0.6, 0.68, 0.76, Verdict.INCONCLUSIVE, "whether it stays within 0.70 cannot be told"),
        (0.75, 0.8, 0.85, Verdict.FAIL, "exceeds 0.70"),
    ],
)
def test_classes_that_differ_in_the_breasts_outline_do_not_ship(
    low: float, auc: float, high: float, verdict: Verdict, says: str
) -> None:
    outline = ControlResult(name=OUTLINE, images=200, auc=auc, low=low, high=high)
    found = rule(decided(outline=outline), "max_control_auc")
    assert found.verdict is verdict and says in found.sentence


def test_a_control_that_was_not_measured_is_said() -> None:
    few = ControlResult(name=OUTLINE, images=20, why="too few patients: 9 in the smaller class")
    for outline, why in ((few, "too few patients: 9"), (None, "clean again")):
        found = rule(decided(outline=outline), "max_control_auc")
        assert found.verdict is Verdict.INCONCLUSIVE and why in found.sentence
    assert decided(outline=None, policy=GatePolicy(max_control_auc=None)).verdict is Verdict.PASS


def test_slices_are_held_to_their_own_minima_where_they_are_large_enough() -> None:
    parts = tuple(
        Slice(attribute="site", value=value, performance=toy_performance(figures, patients))
        for value, figures, patients in (
            ("A", {"auc": around(0.9)}, 60),
            ("B", {"auc": around(0.6)}, 40),
            ("C", {"auc": around(0.5)}, 29),
            ("D", {"auc": Estimate(value=None)}, 30),
        )
    )
    policy = GatePolicy(slices=SliceMinima(min_auc=0.7))
    decision = decided(toy_metrics(slices=parts), policy=policy)
    assert [
        (each.rule, each.verdict.value, each.sentence)
        for each in decision.rules
        if each.rule.startswith("slice")
    ] == [
        ("slice_min_auc[site A]", "PASS", "AUC of site A 0.900 [0.870, 0.930] reaches 0.70"),
        ("slice_min_auc[site B]", "FAIL", "AUC of site B 0.600 [0.570, 0.630] is below 0.70"),
        ("slice_min_auc[site C]", "PASS", "not judged: site C has 29 test patients, 30 are needed"),
        ("slice_min_auc[site D]", "PASS", "not judged: AUC of site D cannot be computed"),
    ]
    assert decided(toy_metrics(slices=parts)).verdict is Verdict.PASS  # off by default
    unknown = rule(decided(policy=policy), "slices")
    assert "not judged: nothing is known" in unknown.sentence


@pytest.mark.parametrize(
    ("low", "high", "verdict", "says"),
    [
        (-0.05, 0.02, Verdict.PASS, "AUC is not worse than that of production V1 by more than"),
        (-0.051, 0.02, Verdict.INCONCLUSIVE, "whether AUC is worse than that of production V1"),
        (-0.2, -0.051, Verdict.FAIL, "AUC is worse than that of production V1 by more than 0.05"),
    ],
)
def test_a_new_model_must_not_be_worse_than_the_one_in_production(
    low: float, high: float, verdict: Verdict, says: str
) -> None:
    decision = decided(champion=compared(low, (low + high) / 2, high))
    found = rule(decision, "non_inferiority")
    assert decision.verdict is found.verdict is verdict
    assert found.sentence.startswith(says)
    assert found.bound == -0.05 and f"[{low:.3f}, {high:+.3f}]" in found.sentence


def test_a_difference_without_an_interval_proves_nothing() -> None:
    bare = compared(0, 0, 0, difference={"auc": Estimate(value=0.0)})
    assert decided(champion=bare).verdict is Verdict.INCONCLUSIVE
    with pytest.raises(MetricError, match="holds no difference of sensitivity"):
        decided(
            champion=bare, policy=GatePolicy(non_inferiority=NonInferiority(metric="sensitivity"))
        )


def test_a_champion_that_cannot_be_compared_is_inconclusive_and_says_why() -> None:
    decision = decided(champion=compared(0, 0, 0, refused="it was trained with 3 of them"))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.rules[-1].sentence == (
        "production V1 cannot be compared: it was trained with 3 of them"
    )
    off = decided(champion=compared(-1, -1, -1), policy=GatePolicy(non_inferiority=None))
    assert off.verdict is Verdict.PASS
    assert "not judged: gate.non_inferiority is null" in off.rules[-1].sentence


def test_a_first_model_goes_by_the_policy_for_it() -> None:
    asked = decided(policy=GatePolicy(first_model="ask"))
    assert asked.verdict is Verdict.INCONCLUSIVE
    assert (
        asked.rules[-1].sentence
        == f"{FIRST.proof}; gate.first_model is `ask`: a person must decide"
    )
