"""Stage gate: PASS or FAIL with one plain sentence for each rule; what is missing is an error."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from ml_tasks.config import Config, GatePolicy
from ml_tasks.errors import MetricError
from ml_tasks.records import Decision, EvaluationRecord, RuleResult, TrainRecord, Verdict
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_json

log = logging.getLogger(__name__)

_NAMES = {"accuracy": "accuracy", "auc": "AUC", "sensitivity": "sensitivity"}


def decide(
    figures: Mapping[str, Any], policy: GatePolicy
) -> tuple[Verdict, tuple[RuleResult, ...]]:
    """The verdict on the test split's `figures` (accuracy, auc, sensitivity, each 0..1).

    Raises:
        MetricError: a figure is missing or is no number between 0 and 1.
    """
    bounds = {
        "accuracy": policy.min_accuracy,
        "auc": policy.min_auc,
        "sensitivity": policy.min_sensitivity,
    }
    rules = tuple(_rule(name, _figure(figures, name), bound) for name, bound in bounds.items())
    return Verdict.PASS if all(rule.passed for rule in rules) else Verdict.FAIL, rules


def gate(run: RunPaths, config: Config) -> Decision:
    """Judges the run's metrics by config.gate and writes decision.json.

    Raises:
        MetricError: metrics.json was altered, or lacks a figure.
        StageOrderError: evaluate is not complete, or was made from another train.
    """
    evaluation = run.load(EvaluationRecord)
    run.check_built_on(evaluation, TrainRecord)
    path = run.stage("evaluate") / "metrics.json"
    if not path.exists() or sha256_file(path) != evaluation.metrics_sha256:
        raise MetricError(f"{path} is missing or was altered after evaluate; run evaluate again")
    figures = json.loads(path.read_text()).get("splits", {}).get("test", {})
    verdict, rules = decide(figures, config.gate)
    decision = Decision(
        run_id=run.run_id, inputs=run.mark(EvaluationRecord), verdict=verdict, rules=rules
    )
    with run.writing("gate") as work:
        write_json(work / "decision.json", decision.model_dump(mode="json"))
        run.seal(work, decision)
    for rule in rules:
        log.info("%s  %s", "ok  " if rule.passed else "FAIL", rule.sentence)
    log.info(decision.summary())
    return decision


def _figure(figures: Mapping[str, Any], name: str) -> float:
    value = figures.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = math.nan
    if not 0 <= value <= 1:  # NaN fails this too
        raise MetricError(
            f"the test split's {_NAMES[name]} is {figures.get(name)!r}, not a number from "
            "0 to 1: nothing can be decided, nothing is shipped. Look into evaluate's log and run "
            "it again"
        )
    return float(value)


def _rule(name: str, value: float, bound: float) -> RuleResult:
    passed = value >= bound
    relation = "reaches" if passed else "is below"
    shown, least = f"{value:.3f}", f"{bound:.2f}"
    if (float(shown) >= bound) is not passed:  # a near miss must not read like a hit
        shown = repr(value)
    if float(least) != bound:
        least = repr(bound)
    return RuleResult(
        rule=f"min_{name}",
        value=value,
        bound=bound,
        passed=passed,
        sentence=f"{_NAMES[name]} {shown} {relation} {least}",
    )
