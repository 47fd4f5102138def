"""What a release image answers, held against what was evaluated: no difference may hide."""

from __future__ import annotations

import pytest

from ml_tasks.config_release import SmokeLimits
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.errors import ReleaseError
from ml_tasks.records import Split
from ml_tasks.release.answers import Answer, Judged, try_answers, try_latency
from ml_tasks.release.trials import Trials

JUDGED = Judged(version="v", threshold=0.5, positive="Positive", negative="Negative")


def answer(
    evaluated: float, told: float | None = None, said: str = "", version: str = "v"
) -> Answer:
    row = PredictionRow(
        raw=f"Positive/{evaluated}.png",
        label="Positive",
        patient="P",
        split=Split.TEST,
        probability=evaluated,
    )
    content = {
        "probability": evaluated if told is None else told,
        "prediction": said or ("Positive" if evaluated >= 0.5 else "Negative"),
        "model_version": version,
    }
    return Answer.read(row, content, 10.0)


def outcome(*answers: Answer) -> str:
    """What failed; empty if nothing did."""
    trials = Trials()
    try_answers(answers, JUDGED, trials)
    try:
        trials.check()
    except ReleaseError as error:
        return str(error)
    return ""


def test_answers_as_evaluated_pass() -> None:
    assert outcome(answer(0.9), answer(0.1), answer(0.7, told=0.7 + 9e-6)) == ""


@pytest.mark.parametrize("told", [0.7 + 2e-5, 0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_answer_that_differs_is_found_wherever_it_stands(told: float, at: int) -> None:
    """A probability that is no number compares as neither more nor less."""
    answers = [answer(0.9), answer(0.1)]
    answers.insert(at, answer(0.7, told=told, said="Positive"))
    assert "0.7.png is more than 1e-05 apart" in outcome(*answers)


def test_another_class_is_found_even_if_the_probability_is_right() -> None:
    """The class goes by the threshold: a service with another one would tell another class."""
    said = outcome(answer(0.9), answer(0.6, said="Negative"))
    assert "golden predictions that differ is 1, the limit is 0" in said and "0.6.png" in said


@pytest.mark.parametrize("said", ["Benign", "Positive", "negative"])
def test_a_class_that_is_none_of_the_two_is_found(said: str) -> None:
    """Not to be the positive one is not enough: what else it says would be shown to people."""
    assert "golden predictions that differ is 1" in outcome(answer(0.9), answer(0.1, said=said))


def test_a_class_on_the_very_threshold_may_fall_either_way() -> None:
    assert outcome(answer(0.5, said="Positive"), answer(0.5, said="Negative")) == ""


def test_another_version_is_found() -> None:
    assert "model_version is other, v, the limit is v" in outcome(
        answer(0.9), answer(0.1, version="other")
    )


@pytest.mark.parametrize("content", ["text", None, {}, {"probability": "much"}, [1]])
def test_an_answer_without_its_parts_cannot_be_compared(content: object) -> None:
    with pytest.raises(ReleaseError, match="lacks probability, prediction or model_version"):
        Answer.read(answer(0.5).expected, content, 1.0)


def test_the_slowest_twentieth_does_not_decide_on_the_latency() -> None:
    row = answer(0.5).expected
    content = {"probability": 0.5, "prediction": "Positive", "model_version": "v"}
    answers = [Answer.read(row, content, 10.0)] * 97 + [Answer.read(row, content, 5000.0)] * 3
    trials = Trials()
    try_latency(answers, SmokeLimits(p95_ms=50), trials)
    trials.check()
