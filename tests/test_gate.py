"""The gate: PASS or FAIL with reasons; what is missing or no number is an error, never a FAIL."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ml_tasks.config import GatePolicy
from ml_tasks.errors import MetricError, StageOrderError
from ml_tasks.gate import decide, gate
from ml_tasks.records import Decision, EvaluationRecord, TrainRecord, Verdict
from ml_tasks.storage import sha256_file, write_json
from tests.toy_run import ToyRun, make_toy_run

POLICY = GatePolicy(min_accuracy=0.8, min_auc=0.85, min_sensitivity=0.75)
GOOD = {"accuracy": 0.9, "auc": 0.95, "sensitivity": 0.8}


def evaluated(root: Path, figures: dict[str, Any]) -> ToyRun:
    """A run up to evaluate, whose test split has these figures."""
    toy = make_toy_run(root)
    path = toy.run.stage("evaluate") / "metrics.json"
    write_json(path, {"threshold": 0.5, "splits": {"test": figures}})
    record = toy.run.load(EvaluationRecord)
    changed = record.model_copy(update={"metrics_sha256": sha256_file(path)})
    toy.run.seal(toy.run.stage("evaluate"), changed)
    return toy


def test_a_model_that_reaches_every_bound_passes() -> None:
    verdict, rules = decide(GOOD, POLICY)
    assert verdict is Verdict.PASS
    assert [rule.rule for rule in rules] == ["min_accuracy", "min_auc", "min_sensitivity"]


def test_exactly_the_bound_passes() -> None:
    verdict, _ = decide({"accuracy": 0.8, "auc": 0.85, "sensitivity": 0.75}, POLICY)
    assert verdict is Verdict.PASS


@pytest.mark.parametrize("name", ["accuracy", "auc", "sensitivity"])
def test_a_single_figure_just_below_its_bound_fails(name: str) -> None:
    bound = getattr(POLICY, f"min_{name}")
    verdict, rules = decide({**GOOD, name: math.nextafter(bound, 0)}, POLICY)
    assert verdict is Verdict.FAIL
    assert [rule.rule for rule in rules if not rule.passed] == [f"min_{name}"]


def test_every_rule_says_a_plain_sentence() -> None:
    _, rules = decide({**GOOD, "auc": 0.6}, POLICY)
    assert [rule.sentence for rule in rules] == [
        "accuracy 0.900 reaches 0.80",
        "AUC 0.600 is below 0.85",
        "sensitivity 0.800 reaches 0.75",
    ]


def test_the_sentence_of_a_near_miss_does_not_contradict_itself() -> None:
    """`accuracy 0.800 is below 0.80` would leave the reader none the wiser."""
    _, rules = decide({**GOOD, "accuracy": 0.79996}, POLICY)
    assert rules[0].sentence == "accuracy 0.79996 is below 0.80"
    _, rules = decide({**GOOD, "accuracy": 0.803}, GatePolicy(min_accuracy=0.805))
    assert rules[0].sentence == "accuracy 0.803 is below 0.805"


@pytest.mark.parametrize("name", ["accuracy", "auc", "sensitivity"])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, True, "0.9", 1.01, -0.1, [0.9]])
def test_a_figure_that_is_no_number_from_0_to_1_is_an_error(name: str, value: Any) -> None:
    """A FAIL would be a green run: a broken evaluation must not look like a weak model."""
    with pytest.raises(MetricError, match=r"not a number from 0 to 1: nothing can be decided"):
        decide({**GOOD, name: value}, POLICY)


@pytest.mark.parametrize("name", ["accuracy", "auc", "sensitivity"])
def test_a_missing_figure_is_an_error(name: str) -> None:
    figures = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(MetricError, match="is None, not a number"):
        decide(figures, POLICY)


@pytest.mark.parametrize(("accuracy", "verdict"), [(0.95, Verdict.PASS), (0.3, Verdict.FAIL)])
def test_the_decision_is_written_with_its_reasons(
    tmp_path: Path, accuracy: float, verdict: Verdict
) -> None:
    toy = evaluated(tmp_path, {**GOOD, "accuracy": accuracy})
    decision = gate(toy.run, toy.config)
    assert decision.verdict is verdict
    assert toy.run.load(Decision) == decision
    written = json.loads((toy.run.stage("gate") / "decision.json").read_text())
    assert written["verdict"] == verdict.value
    assert len(written["rules"]) == 3
    expected = "PASSED the gate: accuracy" if accuracy > 0.9 else "FAILED the gate: accuracy 0.300"
    assert decision.summary().startswith(expected)


def test_the_policy_of_the_configuration_is_the_one_applied(tmp_path: Path) -> None:
    toy = evaluated(tmp_path, {**GOOD, "accuracy": 0.3})
    policy = GatePolicy(min_accuracy=0.2)
    assert gate(toy.run, toy.config.model_copy(update={"gate": policy})).passed


def test_metrics_altered_after_evaluation_are_refused(tmp_path: Path) -> None:
    """Else anyone could edit a model past the gate."""
    toy = evaluated(tmp_path, {**GOOD, "accuracy": 0.3})
    before = (toy.run.stage("gate") / "record.json").read_bytes()
    path = toy.run.stage("evaluate") / "metrics.json"
    path.write_text(path.read_text().replace("0.3", "0.9"))
    with pytest.raises(
        MetricError, match=r"metrics\.json is missing or was altered after evaluate"
    ):
        gate(toy.run, toy.config)
    path.unlink()
    with pytest.raises(
        MetricError, match=r"metrics\.json is missing or was altered after evaluate"
    ):
        gate(toy.run, toy.config)
    assert (toy.run.stage("gate") / "record.json").read_bytes() == before


@pytest.mark.parametrize("figures", [{}, {"accuracy": 0.9}])
def test_metrics_without_the_test_splits_figures_are_an_error(
    tmp_path: Path, figures: dict[str, Any]
) -> None:
    toy = evaluated(tmp_path, figures)
    with pytest.raises(MetricError, match="Look into evaluate's log"):
        gate(toy.run, toy.config)


def test_figures_of_an_earlier_training_are_refused(tmp_path: Path) -> None:
    toy = evaluated(tmp_path, GOOD)
    trained = toy.run.load(TrainRecord).model_copy(update={"seconds": 99.0})
    toy.run.seal(toy.run.stage("train"), trained)
    with pytest.raises(StageOrderError, match="evaluate of run .* an earlier attempt of train"):
        gate(toy.run, toy.config)
