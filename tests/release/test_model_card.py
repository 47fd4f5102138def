"""The model card: figures with intervals, the gate's reasons, and CLAIM where a run can tell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ml_tasks.evaluation.bootstrap import Estimate
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.records import Decision, PreprocessRecord, TrainRecord
from ml_tasks.release.claim import ASKED, Told, filled
from ml_tasks.release.model_card import model_card
from tests.toy_run import ToyRun, make_toy_run, toy_metrics


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    return make_toy_run(tmp_path_factory.mktemp("card"))


def card(toy: ToyRun, metrics: Metrics | None = None, **data: object) -> str:
    cleaned = toy.run.load(PreprocessRecord).model_copy(update=data)
    found = metrics or toy_metrics()
    return model_card(cleaned, toy.run.load(TrainRecord), found, toy.run.load(Decision))


def test_the_same_records_give_the_same_text(toy: ToyRun) -> None:
    assert card(toy) == card(toy)


def test_it_tells_figures_with_intervals_threshold_calibration_and_the_gates_reasons(
    toy: ToyRun,
) -> None:
    text = card(toy)
    assert "**Research use; not a diagnosis.**" in text
    assert "| auc |" + 3 * " 0.950 [0.920, 0.980] |" in text
    assert "chosen by the toy: 0.500000" in text
    assert "prior shift -0.200000 in log odds, temperature 1.250000" in text
    assert "## Gate: PASS" in text and "accuracy 0.9 is at least 0.8" in text


def test_a_figure_that_could_not_be_computed_says_so(toy: ToyRun) -> None:
    text = card(toy, toy_metrics({"auc": Estimate(value=None)}))
    assert "| auc |" + 3 * " not computable |" in text


def test_every_item_of_the_checklist_stands_there_once_with_an_answer_or_for_the_team(
    toy: ToyRun,
) -> None:
    text = card(toy)
    ours, teams = text.split("To be filled in by the team")
    answered = {int(number) for number in re.findall(r"^- \*\*(\d+)\.", ours, re.M)}
    left = {int(number) for number in re.findall(r"^- (\d+)\.", teams, re.M)}
    assert answered | left == set(ASKED) == set(range(1, 45))
    assert not answered & left
    assert {13, 14, 16, 18, 44} <= left  # no run can know how films were taken and read


def test_answers_come_from_the_run(toy: ToyRun) -> None:
    cleaned = toy.run.load(PreprocessRecord).model_copy(
        update={"certificate": "no leakage: all compared", "class_weights": {"Positive": 3.0}}
    )
    answers = filled(Told(cleaned, toy.run.load(TrainRecord), toy_metrics()))
    assert "20 images of 20 patients" in answers[7]
    assert "no leakage: all compared" in answers[20]
    assert "weighted Positive 3" in answers[25]
    assert answers[26].endswith("loss: 1.")
    assert "sensitivity 0.850 [0.820, 0.880]" in answers[38]


def test_no_path_of_the_machine_is_on_it(toy: ToyRun, tmp_path: Path) -> None:
    """A card is published with the model; where the films lie is nobody's business."""
    assert str(toy.run.root) not in card(toy)
    assert str(toy.config.paths.raw) not in card(toy)
