"""The gate's rules: figures with intervals, held to bounds; each rule says one plain sentence.

A rule passes if the whole interval lies on the right side of its bound, fails if it lies wholly on
the wrong side, and is inconclusive otherwise. The verdict is the worst of the rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from ml_tasks.config_gate import GatePolicy, NonInferiority, SliceMinima
from ml_tasks.dataset.shortcuts import ControlResult
from ml_tasks.errors import MetricError
from ml_tasks.evaluation.bootstrap import Estimate
from ml_tasks.evaluation.comparison import Comparison, NoChampion
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.performance import Performance, Slice
from ml_tasks.evaluation.sentences import bounded, signed
from ml_tasks.records import GateDecision, RuleResult, Split, Verdict

_NAMES = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ece": "calibration error",
}
_ORDER = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)


def decide(
    challenger: Metrics,
    champion: Comparison | NoChampion,
    policy: GatePolicy,
    outline: ControlResult | None = None,
) -> GateDecision:
    """The verdict on a model by its patients' figures of the test split.

    `champion` is what the comparison with the production model found, or the proof that there is
    none; `outline` what the breast's outline alone tells of the classes, None where the cleaned set
    does not say.

    Raises:
        MetricError: a figure that a rule needs is missing or is no number from 0 to 1.
    """
    rules = (
        *_minima(challenger, policy),
        *_slices(challenger, policy.slices),
        *_control(outline, policy.max_control_auc),
        *_against(champion, policy),
    )
    return GateDecision(
        verdict=max((rule.verdict for rule in rules), key=_ORDER.index), rules=rules
    )


def _minima(challenger: Metrics, policy: GatePolicy) -> Iterator[RuleResult]:
    test = challenger.levels.get(Split.TEST, {}).get(Level.PATIENT)
    if test is None:
        raise MetricError(
            "metrics.json has no figures of the test split's patients; run evaluate again"
        )
    accuracy = _figure(test, "accuracy")
    # The guide's own rule goes by the number itself.
    alone = accuracy.model_copy(update={"low": accuracy.value, "high": accuracy.value})
    yield bounded("min_accuracy", "accuracy", alone, policy.min_accuracy, test.patients)
    for name, bound in (("auc", policy.min_auc), ("sensitivity", policy.min_sensitivity)):
        yield bounded(f"min_{name}", _NAMES[name], _figure(test, name), bound, test.patients)
    if policy.sensitivity_at_specificity is not None:
        at = policy.sensitivity_at_specificity
        found = _figure(test, f"sensitivity_at_specificity_{at.specificity:g}")
        named = f"sensitivity at specificity {at.specificity:g}"
        yield bounded("sensitivity_at_specificity", named, found, at.min, test.patients)
    if policy.max_ece is not None:
        found, bound = _figure(test, "ece"), policy.max_ece
        yield bounded("max_ece", _NAMES["ece"], found, bound, test.patients, most=True)


def _figure(test: Performance, name: str) -> Estimate:
    found = test.figures.get(name)
    value = None if found is None else found.value
    if found is None or value is None or not 0 <= value <= 1:
        raise MetricError(
            f"the test patients' {_NAMES.get(name, name.replace('_', ' '))} is {value!r}, not a "
            "number from 0 to 1: nothing can be decided, nothing is shipped. Look into evaluate's "
            "log and run it again"
        )
    return found


def _slices(challenger: Metrics, minima: SliceMinima | None) -> Iterator[RuleResult]:
    if minima is None:
        return
    if not challenger.slices:
        yield _not_judged("slices", "nothing is known that could part the test patients")
    bounds = {"auc": minima.min_auc, "sensitivity": minima.min_sensitivity}
    for part in challenger.slices:
        for name, bound in bounds.items():
            if bound is not None:
                yield _slice(part, name, bound, minima.min_patients)


def _slice(part: Slice, name: str, bound: float, fewest: int) -> RuleResult:
    shown = f"{part.attribute} {part.value or 'not known'}"
    rule, patients = f"slice_min_{name}[{shown}]", part.performance.patients
    if patients < fewest:
        return _not_judged(rule, f"{shown} has {patients} test patients, {fewest} are needed")
    found = part.performance.figures.get(name)
    if found is None or found.value is None:
        return _not_judged(rule, f"{_NAMES[name]} of {shown} cannot be computed")
    return bounded(rule, f"{_NAMES[name]} of {shown}", found, bound, patients)


def _not_judged(rule: str, why: str) -> RuleResult:
    return RuleResult(rule=rule, verdict=Verdict.PASS, sentence=f"not judged: {why}")


def _control(outline: ControlResult | None, bound: float | None) -> Iterator[RuleResult]:
    if bound is None:
        return
    named = "AUC of the breast's outline alone"
    if outline is not None and outline.auc is not None:
        found = Estimate(value=outline.auc, low=outline.low, high=outline.high)
        yield bounded("max_control_auc", named, found, bound, None, most=True)
        return
    why = "the cleaned set was made without it; clean again" if outline is None else outline.why
    yield RuleResult(
        rule="max_control_auc",
        bound=bound,
        # What holds for any AUC needs none.
        verdict=Verdict.PASS if bound == 1 else Verdict.INCONCLUSIVE,
        sentence=f"{named} was not measured ({why}), so whether it exceeds {bound:g} is not known",
    )


def _against(champion: Comparison | NoChampion, policy: GatePolicy) -> Iterator[RuleResult]:
    if isinstance(champion, NoChampion):
        yield _first(champion, policy)
    elif policy.non_inferiority is None:
        yield _not_judged("non_inferiority", "gate.non_inferiority is null")
    elif champion.refused:
        yield RuleResult(
            rule="non_inferiority",
            bound=-policy.non_inferiority.margin,
            verdict=Verdict.INCONCLUSIVE,
            sentence=f"production {champion.version} cannot be compared: {champion.refused}",
        )
    else:
        yield _non_inferior(champion, policy.non_inferiority)


def _first(champion: NoChampion, policy: GatePolicy) -> RuleResult:
    if policy.first_model == "minima":
        verdict, then = Verdict.PASS, "it is judged by the minima alone"
    else:
        verdict, then = Verdict.INCONCLUSIVE, "gate.first_model is `ask`: a person must decide"
    return RuleResult(rule="first_model", verdict=verdict, sentence=f"{champion.proof}; {then}")


def _non_inferior(champion: Comparison, rule: NonInferiority) -> RuleResult:
    found, name = champion.difference.get(rule.metric), _NAMES[rule.metric]
    if found is None or found.value is None:
        raise MetricError(
            f"the comparison with production {champion.version} holds no difference of {name}; "
            "run evaluate again"
        )
    low, high = (-1.0, 1.0) if found.low is None or found.high is None else (found.low, found.high)
    worse = f"worse than that of production {champion.version} by more than {rule.margin:g}"
    if low >= -rule.margin:
        verdict, said = Verdict.PASS, f"{name} is not {worse}"
    elif high < -rule.margin:
        verdict, said = Verdict.FAIL, f"{name} is {worse}"
    else:
        verdict = Verdict.INCONCLUSIVE
        said = f"whether {name} is {worse} cannot be told from the test patients"
    return RuleResult(
        rule="non_inferiority",
        value=found.value,
        low=found.low,
        high=found.high,
        bound=-rule.margin,
        verdict=verdict,
        sentence=f"{said} (difference {signed(found, -rule.margin)})",
    )
