"""Evaluation of 10,000 images beyond inference: every figure, slice, plot and the report."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.table import Effort, Row
from ml_tasks.config import EvaluationConfig
from ml_tasks.dataset.manifest import IndexRow
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.evaluation.bootstrap import RESAMPLES, estimates, patient_weights
from ml_tasks.evaluation.judging import judge, tell
from ml_tasks.evaluation.levels import Level, Scored, levels
from ml_tasks.evaluation.plots import precision_recall_plot, roc_plot, scores_plot
from ml_tasks.records import PreprocessRecord, Split

GOAL = 20.0  # seconds
_PER_PATIENT = 4  # images: both breasts, two views
_PLAIN = 100  # resamples that the plain way is timed on; it is linear in them


def rows(effort: Effort) -> list[Row]:
    """The whole of evaluate beyond inference, and the AUC's interval against scikit-learn's way."""
    images = 25 * effort.files  # 10,000 in a full run
    answers, index, record = _answers(images)
    return [_whole(answers, index, record), _interval(answers)]


def _whole(answers: list[PredictionRow], index: list[IndexRow], record: PreprocessRecord) -> Row:
    images = sum(row.split is Split.TEST for row in answers)

    def everything() -> None:
        told = tell(answers, record, EvaluationConfig())
        judged = judge(told, index, record, EvaluationConfig())
        scored = judged.answers[Split.TEST].levels()
        found = judged.metrics.levels[Split.TEST]
        roc_plot(scored, found)
        precision_recall_plot(scored, found)
        scores_plot(scored[Level.PATIENT], judged.metrics.threshold, "Negative", "Positive")

    seconds = _seconds(everything)
    return Row(
        f"Evaluation of {images:,} test images beyond inference: calibration, threshold, all "
        f"figures with {RESAMPLES:,} bootstraps at three levels, as many validation images, four "
        "slices, plots",
        f"{seconds:.1f} s",
        "",
        seconds,
        f"at most {GOAL:g} s",
        seconds <= GOAL,
    )


def _interval(answers: list[PredictionRow]) -> Row:
    """The same resamples of the images: all fourteen figures by us, the AUC alone by the other."""
    test = [row for row in answers if row.split is Split.TEST]
    labels = np.array([row.label == "Positive" for row in test])
    scores = np.array([row.probability for row in test])
    scored = levels(labels, scores, [row.patient for row in test], [""] * len(test))[Level.IMAGE]
    ours = _seconds(lambda: estimates(scored, 0.5, 1))
    plain = _seconds(lambda: _plain_auc(scored)) * RESAMPLES / _PLAIN
    return Row(
        f"Intervals of {len(test):,} images, {RESAMPLES:,} resamples: AUC alone by scikit-learn's "
        "roc_auc_score / all figures by ours",
        f"{ours:.1f} s",
        f"{plain:.1f} s",
        plain / ours,
    )


def _plain_auc(scored: Scored) -> NDArray[np.float64]:
    found = [
        roc_auc_score(scored.labels, scored.scores, sample_weight=weight)
        for part in patient_weights(scored.patients, 1, _PLAIN)
        for weight in part
    ]
    return np.array(found)


def _answers(images: int) -> tuple[list[PredictionRow], list[IndexRow], PreprocessRecord]:
    """As many validation as test images, one patient in ten positive, two sites, two views."""
    random = np.random.default_rng(20260101)
    answers, index = [], []
    for split in (Split.VAL, Split.TEST):
        for number in range(images):
            patient = number // _PER_PATIENT
            positive = patient % 10 == 0
            odds = random.normal(0.5 if positive else -1.5, 1.5)
            told = {
                "raw": f"{split}/{number}",
                "label": "Positive" if positive else "Negative",
                "patient": f"{split}-{patient}",
                "split": split,
            }
            answers.append(PredictionRow(**told, probability=1 / (1 + np.exp(-odds))))
            index.append(
                IndexRow(
                    **told,
                    file=f"{split}/{number}",
                    raw_sha256="",
                    laterality="LR"[number % _PER_PATIENT // 2],
                    view=("CC", "MLO")[number % 2],
                    site="AB"[patient % 2],
                )
            )
    return answers, index, _record(images)


def _record(images: int) -> PreprocessRecord:
    """A training split that was balanced from one in ten."""
    counts = {"Negative": 9 * images, "Positive": images}
    return PreprocessRecord(
        run_id="benchmark",
        raw="",
        started_at="",
        manifest_sha256="",
        index_sha256="",
        arrays_sha256=dict.fromkeys(Split, ""),
        spec_sha256="",
        training_data_sha256="",
        classes=("Negative", "Positive"),
        positive="Positive",
        counts=dict.fromkeys(Split, counts),
        patients=dict.fromkeys(Split, images // _PER_PATIENT),
        trained_on={"Negative": 9 * images, "Positive": 9 * images},
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
