"""The plots: PNG files, the same each time, with words that say what they show."""

from __future__ import annotations

import numpy as np

from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics import Confusion
from ml_tasks.evaluation.performance import Answers, by_level
from ml_tasks.evaluation.plots import (
    Plot,
    calibration_plot,
    confusion_plot,
    precision_recall_plot,
    roc_plot,
    scores_plot,
    training_plot,
)
from ml_tasks.evaluation.reliability import reliability

LABELS = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool)
SCORES = np.array([0.9, 0.8, 0.6, 0.2, 0.7, 0.4, 0.3, 0.2, 0.1, 0.0], np.float64)
ANSWERS = Answers(LABELS, SCORES, [f"P{number}" for number in range(10)], [""] * 10)
HISTORY = [
    {"epoch": 1.0, "loss": 0.7, "auc": 0.6, "val_loss": 0.65, "val_auc": 0.55},
    {"epoch": 2.0, "loss": 0.5, "auc": 0.8, "val_loss": 0.61, "val_auc": 0.66},
]


def drawn() -> list[Plot]:
    scored, found = ANSWERS.levels(), by_level(ANSWERS, 0.5, 1)
    counts = Confusion.of(LABELS, SCORES, 0.5)
    return [
        roc_plot(scored, found),
        precision_recall_plot(scored, found),
        calibration_plot(LABELS, SCORES, SCORES**2),
        confusion_plot(counts, "$Negative$", "Positive"),
        scores_plot(scored[Level.PATIENT], 0.5, "$Negative$", "Positive"),
        training_plot(HISTORY, 2),
    ]


def test_they_are_png_files_of_their_own_names_and_the_same_each_time() -> None:
    plots = drawn()
    assert all(plot.png.startswith(b"\x89PNG") for plot in plots)
    assert len({plot.file for plot in plots}) == len(plots)
    assert plots[0].file == "roc_curve.png" and plots[1].file == "precision_recall_curve.png"
    assert plots == drawn()


def test_each_says_its_figures_to_those_who_cannot_see_it() -> None:
    roc, precision, calibration, confusion, scores, training = (plot.alt for plot in drawn())
    assert "patients, AUC 0.812, operating point at sensitivity 0.75 and specificity 0.83" in roc
    assert "where 0.40 are positive" in precision
    assert "told 0.90, seen 1.00 among 1" in calibration
    assert "3 found, 1 missed, 5 left alone, 1 false alarms" in confusion
    assert "the middle one of 6 $Negative$ has 0.25, of 4 Positive 0.70" in scores
    assert "loss is 0.500 in training and 0.610 in validation; epoch 2 was kept" in training


def test_one_class_alone_still_has_its_scores_and_counts() -> None:
    scored = Answers(LABELS[:4], SCORES[:4], list("abcd"), [""] * 4).levels()[Level.PATIENT]
    assert "of 0 Negative has none" in scores_plot(scored, 0.5, "Negative", "Positive").alt


def test_the_bins_hold_every_case_once_and_their_intervals_hold_what_was_seen() -> None:
    bins = reliability(LABELS, SCORES)
    assert sum(part.cases for part in bins) == 10
    assert sum(part.seen * part.cases for part in bins) == LABELS.sum()
    assert all(part.low <= part.seen <= part.high for part in bins)
    assert [part.told for part in bins] == sorted(part.told for part in bins)
    assert reliability(np.array([True]), np.array([1.0]))[0].told == 1.0
