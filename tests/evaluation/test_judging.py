"""From the answers to metrics: what may be learned from validation, and from nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from ml_tasks.config import EvaluationConfig
from ml_tasks.dataset.manifest import IndexRow
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.errors import MetricError
from ml_tasks.evaluation.judging import Judged, judge, tell
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.wording import in_words, smallest
from ml_tasks.records import PreprocessRecord, Split
from tests.evaluation.test_calibration import cleaned

RECORD = cleaned({"Negative": 30, "Positive": 10}, {"Negative": 30, "Positive": 30})
PATIENTS = 40  # of each split, two images each


def rows(
    seed: int = 4, positives: float = 0.4
) -> tuple[list[PredictionRow], list[IndexRow], PreprocessRecord]:
    """Answers of a network that overrates itself, and the index of the same images."""
    random = np.random.default_rng(seed)
    answers, index = [], []
    for split in (Split.VAL, Split.TEST):
        share = 0.4 if split is Split.VAL else positives
        for number in range(PATIENTS):
            positive = number < share * PATIENTS
            for side in "LR":
                name = f"{split}-{number}-{side}"
                odds = 4 * random.normal(1 if positive else -1)
                told = {
                    "raw": name,
                    "label": "Positive" if positive else "Negative",
                    "patient": f"{split}-{number}",
                    "split": split,
                }
                answers.append(PredictionRow(**told, probability=1 / (1 + np.exp(-odds))))
                index.append(
                    IndexRow(
                        **told, file=name, raw_sha256="ab", laterality=side, site="AB"[number % 2]
                    )
                )
    return answers, index, RECORD


def judged_of(
    raw: list[PredictionRow],
    index: list[IndexRow],
    cleaned: PreprocessRecord,
    config: EvaluationConfig,
) -> Judged:
    return judge(tell(raw, cleaned, config), index, cleaned, config)


def judged(*args: float) -> Judged:
    return judged_of(*rows(*args), EvaluationConfig())  # type: ignore[arg-type]


def test_the_same_answers_give_the_same_metrics() -> None:
    assert judged().metrics == judged().metrics


def test_the_test_split_moves_neither_calibration_nor_threshold() -> None:
    answers, index, record = rows()
    other = [
        row.model_copy(update={"probability": 1 - row.probability})
        if row.split is Split.TEST
        else row
        for row in answers
    ]
    one = judged_of(answers, index, record, EvaluationConfig()).metrics
    two = judged_of(other, index, record, EvaluationConfig()).metrics
    assert (one.calibration, one.threshold) == (two.calibration, two.threshold)
    assert one.levels[Split.VAL] == two.levels[Split.VAL]
    assert one.levels[Split.TEST] != two.levels[Split.TEST]


def test_calibration_is_in_every_answer_and_leaves_the_auc_alone() -> None:
    answers, index, record = rows()
    found = judged_of(answers, index, record, EvaluationConfig())
    calibration = found.metrics.calibration
    assert calibration.prior_shift == pytest.approx(np.log(1 / 3))
    raw = np.array([row.probability for row in answers])
    told = [row.probability for row in found.predictions]
    assert told == pytest.approx(calibration.apply(raw).tolist())
    test = found.answers[Split.TEST]
    assert test.scores.tolist() == told[2 * PATIENTS :]
    levels = found.metrics.levels[Split.TEST]
    assert [levels[level].cases for level in Level] == [80, 80, 40]


def test_a_slice_of_one_class_has_figures_that_say_so_and_none_is_zero() -> None:
    answers, index, record = rows()
    sites = [
        row.model_copy(update={"site": "all well" if row.label == "Negative" else "mixed"})
        for row in index
    ]
    slices = judged_of(answers, sites, record, EvaluationConfig()).metrics.slices
    figures = next(part for part in slices if part.value == "all well").performance.figures
    for name in ("auc", "sensitivity", "average_precision", "f1", "balanced_accuracy"):
        assert str(figures[name]) == "not computable", name
    assert figures["specificity"].value is not None


def test_a_test_split_of_one_class_is_told_as_not_computable() -> None:
    metrics = judged(4, 0.0).metrics
    figures = metrics.levels[Split.TEST][Level.PATIENT].figures
    assert figures["auc"].value is None and figures["sensitivity"].value is None
    words = " ".join(in_words(metrics, "Negative"))
    assert "The sensitivity is not computable: no test patient is Positive." in words
    assert "(AUC) is not computable: one class is missing" in words


def test_a_validation_split_of_one_class_chooses_no_threshold() -> None:
    answers, index, record = rows()
    kept = [row for row in answers if row.split is Split.TEST or row.label == "Negative"]
    with pytest.raises(MetricError, match="all of one class"):
        judged_of(kept, index, record, EvaluationConfig())


def test_the_smallest_slice_is_named_and_words_tell_the_patients_figures() -> None:
    metrics = judged().metrics
    least = smallest(metrics)
    assert least is not None
    assert least.performance.patients == min(part.performance.patients for part in metrics.slices)
    found = metrics.levels[Split.TEST][Level.PATIENT].figures
    words = " ".join(in_words(metrics, "Negative"))
    assert "tested on 40 patients that it had never met, 16 of them Positive" in words
    assert found["sensitivity"].value is not None and found["auc"].value is not None
    assert f"it finds about {100 * found['sensitivity'].value:.0f}, in truth" in words
    assert f"in {100 * found['auc'].value:.0f} of 100 such pairs" in words
