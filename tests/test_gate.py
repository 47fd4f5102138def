"""The stage gate: judges exactly what evaluate left, against exactly what was in production."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ml_tasks.config_gate import GatePolicy
from ml_tasks.errors import MetricError, StageOrderError
from ml_tasks.evaluation.bootstrap import Estimate
from ml_tasks.evaluation.comparison import Comparison
from ml_tasks.gate import gate
from ml_tasks.records import Decision, EvaluationRecord, PreprocessRecord, TrainRecord, Verdict
from ml_tasks.release.champion import Champion
from ml_tasks.storage import sha256_file, write_json
from tests.builders import NO_CHAMPION
from tests.toy_run import ToyRun, around, make_toy_run, toy_metrics

CHAMPION = Champion(version="V1", digest="sha256:1", registry="r", proof="V1 is in production")
COMPARED = Comparison(
    version="V1", digest="sha256:1", champion={}, difference={"auc": around(0.0, 0.01)}
)


def evaluated(
    root: Path,
    figures: Mapping[str, Estimate] | None = None,
    champion: Champion = NO_CHAMPION,
    comparison: Comparison | None = None,
) -> ToyRun:
    """A run up to evaluate, whose test patients have these figures."""
    toy = make_toy_run(root, champion=champion)
    content = toy_metrics(figures, comparison=comparison).model_dump(mode="json")
    write_json(toy.run.stage("evaluate") / "metrics.json", content)
    noted(toy)
    return toy


def noted(toy: ToyRun) -> None:
    """Makes metrics.json the one that evaluate has noted."""
    found = sha256_file(toy.run.stage("evaluate") / "metrics.json")
    record = toy.run.load(EvaluationRecord).model_copy(update={"metrics_sha256": found})
    toy.run.seal(toy.run.stage("evaluate"), record)


@pytest.mark.parametrize(
    ("accuracy", "auc", "verdict", "says"),
    [
        (0.95, 0.95, Verdict.PASS, "PASSED the gate: accuracy 0.950 reaches 0.80; AUC"),
        (0.3, 0.95, Verdict.FAIL, "FAILED the gate: accuracy 0.300 is below 0.80"),
        (
            0.95,
            0.81,
            Verdict.INCONCLUSIVE,
            "is INCONCLUSIVE at the gate, so it ships only by approval: AUC",
        ),
    ],
)
def test_the_decision_is_written_with_its_reasons(
    tmp_path: Path, accuracy: float, auc: float, verdict: Verdict, says: str
) -> None:
    toy = evaluated(tmp_path, {"accuracy": around(accuracy), "auc": around(auc)})
    decision = gate(toy.run, toy.config)
    assert decision.verdict is verdict and decision.production is None
    assert decision.passed is (verdict is Verdict.PASS)
    assert toy.run.load(Decision) == decision
    written = json.loads((toy.run.stage("gate") / "decision.json").read_text())
    assert written["verdict"] == verdict.value
    assert len(written["rules"]) == 6
    assert decision.summary().startswith(says)


def test_the_policy_of_the_configuration_is_the_one_applied(tmp_path: Path) -> None:
    toy = evaluated(tmp_path, {"accuracy": around(0.3)})
    policy = GatePolicy(min_accuracy=0.2)
    assert gate(toy.run, toy.config.model_copy(update={"gate": policy})).passed


def test_the_decision_names_the_digest_that_it_was_made_against(tmp_path: Path) -> None:
    """push_model moves `production` from nothing else."""
    toy = evaluated(tmp_path, champion=CHAMPION, comparison=COMPARED)
    decision = gate(toy.run, toy.config)
    assert decision.passed and decision.production == "sha256:1"
    assert "AUC is not worse than that of production V1" in decision.rules[-1].sentence


@pytest.mark.parametrize(
    ("champion", "comparison"),
    [
        (CHAMPION, None),
        (NO_CHAMPION, COMPARED),
        (CHAMPION, COMPARED.model_copy(update={"digest": "sha256:2"})),
        (CHAMPION, COMPARED.model_copy(update={"version": "V2"})),
    ],
)
def test_a_comparison_with_anything_but_the_runs_champion_is_an_error(
    tmp_path: Path, champion: Champion, comparison: Comparison | None
) -> None:
    toy = evaluated(tmp_path, champion=champion, comparison=comparison)
    with pytest.raises(
        MetricError, match=r"evaluate compared the model with .* run evaluate again"
    ):
        gate(toy.run, toy.config)


def test_metrics_altered_after_evaluation_are_refused(tmp_path: Path) -> None:
    """Else anyone could edit a model past the gate."""
    toy = evaluated(tmp_path, {"accuracy": around(0.3)})
    before = (toy.run.stage("gate") / "record.json").read_bytes()
    path = toy.run.stage("evaluate") / "metrics.json"
    path.write_text(path.read_text().replace("0.3", "0.9"))
    for _ in range(2):
        with pytest.raises(
            MetricError, match=r"metrics\.json is missing or was altered after evaluate"
        ):
            gate(toy.run, toy.config)
        path.unlink(missing_ok=True)
    assert (toy.run.stage("gate") / "record.json").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "positive cannot be used"),
        ("[1]", "the file cannot be used"),
        ("{", "the file cannot be used"),
        ('{"threshold": NaN}', "nothing can be decided"),
    ],
)
def test_metrics_that_are_none_are_an_error(tmp_path: Path, text: str, says: str) -> None:
    toy = evaluated(tmp_path)
    (toy.run.stage("evaluate") / "metrics.json").write_text(text)
    noted(toy)
    with pytest.raises(MetricError, match=rf"{says}.*Look into evaluate's log|{says}"):
        gate(toy.run, toy.config)


def test_a_figure_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    toy = evaluated(tmp_path)
    path = toy.run.stage("evaluate") / "metrics.json"
    path.write_text(path.read_text().replace('"value": 0.95', '"value": NaN'))
    noted(toy)
    with pytest.raises(MetricError, match=r"figures\.auc\.value cannot be used"):
        gate(toy.run, toy.config)


def test_figures_of_an_earlier_attempt_are_refused(tmp_path: Path) -> None:
    toy = evaluated(tmp_path)
    cleaned = toy.run.load(PreprocessRecord).model_copy(update={"quarantined": 9})
    toy.run.seal(toy.run.stage("preprocess"), cleaned)
    with pytest.raises(StageOrderError, match="evaluate .* earlier attempt of preprocess"):
        gate(toy.run, toy.config)
    trained = toy.run.load(TrainRecord).model_copy(update={"seconds": 99.0})
    toy.run.seal(toy.run.stage("train"), trained)
    with pytest.raises(StageOrderError, match="evaluate .* earlier attempt of train"):
        gate(toy.run, toy.config)


def test_controls_altered_after_cleaning_are_not_believed(tmp_path: Path) -> None:
    toy = evaluated(tmp_path)
    path = toy.run.stage("preprocess") / "controls.json"
    path.write_text(path.read_text().replace("0.58", "0.57"))
    decision = gate(toy.run, toy.config)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert "was not measured" in decision.summary()
