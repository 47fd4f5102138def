"""The plots of the test split that the evaluation report shows."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.evaluation.judging import Judged
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics import Confusion
from ml_tasks.evaluation.plots import (
    Plot,
    calibration_plot,
    confusion_plot,
    precision_recall_plot,
    roc_plot,
    scores_plot,
)
from ml_tasks.records import PreprocessRecord, Split

log = logging.getLogger(__name__)


def plots_of_test(
    judged: Judged, raw: Sequence[PredictionRow], cleaned: PreprocessRecord
) -> list[Plot]:
    """The plots of the test split; curves only where both classes are there."""
    threshold, found = judged.metrics.threshold, judged.metrics.levels[Split.TEST]
    scored = judged.answers[Split.TEST].levels()
    patients, images = scored[Level.PATIENT], scored[Level.IMAGE]
    negative = next(name for name in cleaned.classes if name != cleaned.positive)
    names = (negative, cleaned.positive)
    counts = Confusion.of(patients.labels, patients.scores, threshold)
    log.info("test patients: %s", counts)
    both = patients.labels.any() and not patients.labels.all()
    curves = (roc_plot, precision_recall_plot) if both else ()
    before = np.array([row.probability for row in raw if row.split is Split.TEST])
    return [
        *(plot(scored, found) for plot in curves),
        calibration_plot(images.labels, images.scores, before),
        confusion_plot(counts, *names),
        scores_plot(patients, threshold, *names),
    ]
