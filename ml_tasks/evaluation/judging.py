"""From the network's answers to everything that is said of it; nothing is read or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml_tasks.config import EvaluationConfig
from ml_tasks.dataset.manifest import ATTRIBUTES, IndexRow
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.evaluation.calibration import fitted, prior_shift
from ml_tasks.evaluation.metrics import Labels, Scores
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.operating_point import operating_threshold, rule_in_words
from ml_tasks.evaluation.performance import Answers, by_level, by_slice
from ml_tasks.inference.calibration import Calibration
from ml_tasks.records import PreprocessRecord, Split

JUDGED = (Split.VAL, Split.TEST)


@dataclass(frozen=True)
class Judged:
    """The figures, and the calibrated answers that they were computed from."""

    metrics: Metrics
    predictions: tuple[PredictionRow, ...]
    answers: Mapping[Split, Answers]


@dataclass(frozen=True)
class Told:
    """What a release of a model would answer, and what it would carry for that."""

    predictions: tuple[PredictionRow, ...]  # calibrated
    calibration: Calibration
    threshold: float


def tell(raw: Sequence[PredictionRow], cleaned: PreprocessRecord, config: EvaluationConfig) -> Told:
    """Calibrates the network's own answers `raw` and chooses the threshold.

    Both come from the validation split alone.

    Raises:
        MetricError: an answer is no number, or validation has one class only.
    """
    labels, scores = labelled(raw, Split.VAL, cleaned.positive)
    calibration = fitted(labels, scores, prior_shift(cleaned))
    predictions = _calibrated(raw, calibration)
    labels, scores = labelled(predictions, Split.VAL, cleaned.positive)
    return Told(tuple(predictions), calibration, operating_threshold(labels, scores, config))


def tell_as(raw: Sequence[PredictionRow], other: Told) -> Told:
    """Another model's own answers `raw` under the calibration and the threshold of `other`."""
    return Told(tuple(_calibrated(raw, other.calibration)), other.calibration, other.threshold)


def labelled(
    predictions: Sequence[PredictionRow], split: Split, positive: str
) -> tuple[Labels, Scores]:
    """Which images of a split (N,) are positive, and their probabilities (N,)."""
    rows = [row for row in predictions if row.split is split]
    labels = np.array([row.label == positive for row in rows], bool)
    return labels, np.array([row.probability for row in rows], np.float64)


def judge(
    told: Told, index: Sequence[IndexRow], cleaned: PreprocessRecord, config: EvaluationConfig
) -> Judged:
    """Computes every figure of what a release would answer.

    Raises:
        MetricError: an answer is no number, a split is empty, or validation has one class only.
    """
    predictions, threshold = told.predictions, told.threshold
    known = {row.raw: row for row in index}
    answers = {split: _answers(predictions, known, split, cleaned.positive) for split in JUDGED}
    of_test = [known[row.raw] for row in predictions if row.split is Split.TEST]
    attributes = {name: [_shown(getattr(row, name)) for row in of_test] for name in ATTRIBUTES}
    metrics = Metrics(
        positive=cleaned.positive,
        threshold=threshold,
        rule=rule_in_words(config),
        calibration=told.calibration,
        levels={split: by_level(part, threshold, config.seed) for split, part in answers.items()},
        slices=tuple(by_slice(answers[Split.TEST], attributes, threshold, config.seed)),
    )
    return Judged(metrics, predictions, answers)


def _calibrated(raw: Sequence[PredictionRow], calibration: Calibration) -> list[PredictionRow]:
    told = calibration.apply(np.array([row.probability for row in raw], np.float64))
    return [
        row.model_copy(update={"probability": float(probability)})
        for row, probability in zip(raw, told, strict=True)
    ]


def _answers(
    predictions: Sequence[PredictionRow],
    known: Mapping[str, IndexRow],
    split: Split,
    positive: str,
) -> Answers:
    rows = [row for row in predictions if row.split is split]
    labels, scores = labelled(predictions, split, positive)
    return Answers(
        labels=labels,
        scores=scores,
        patients=[row.patient for row in rows],
        breasts=[known[row.raw].laterality for row in rows],
    )


def _shown(value: object) -> str:
    return {None: "", True: "yes", False: "no"}.get(value, str(value))  # type: ignore[call-overload]
