"""The page of evaluate: the model that would ship, in words, plots, figures and its worst mistakes.

It shows patients' pictures, so it belongs where the films are: in the run's directory.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_tasks.evaluation.bootstrap import RESAMPLES
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.plots import Plot
from ml_tasks.evaluation.wording import in_words, smallest
from ml_tasks.evaluation.worst_cases import Case, overlay_png, strongest
from ml_tasks.imaging.encode import png_bytes
from ml_tasks.pages.evaluation_sections import TEMPLATE
from ml_tasks.pages.layout import render
from ml_tasks.records import EvaluationRecord, PreprocessRecord, Split, TrainRecord

_ESTIMATES = (
    ("AUC", "auc"),
    ("average precision", "average_precision"),
    ("sensitivity", "sensitivity"),
    ("specificity", "specificity"),
    ("sensitivity at specificity 0.80", "sensitivity_at_specificity_0.8"),
    ("sensitivity at specificity 0.90", "sensitivity_at_specificity_0.9"),
    ("sensitivity at specificity 0.95", "sensitivity_at_specificity_0.95"),
    ("accuracy", "accuracy"),
    ("balanced accuracy", "balanced_accuracy"),
    ("F1", "f1"),
    ("Brier score (0 is best)", "brier"),
    ("expected calibration error (0 is best)", "ece"),
)
# Columns of the training table: heading, key in the history, format.
_CURVES = (
    ("epoch", "epoch", ".0f"),
    ("loss", "loss", ".3f"),
    ("AUC", "auc", ".3f"),
    ("validation loss", "val_loss", ".3f"),
    ("accuracy", "val_accuracy", ".3f"),
    ("AUC", "val_auc", ".3f"),
    ("learning rate", "learning_rate", ".2g"),
)


@dataclass(frozen=True)
class Evaluated:
    """What one run says of its model."""

    record: EvaluationRecord
    metrics: Metrics
    plots: Sequence[Plot]  # of the test split
    training: Plot
    missed: Sequence[Case]  # the worst false negatives
    alarms: Sequence[Case]  # the worst false positives
    cleaned: PreprocessRecord
    trained: TrainRecord
    history: Sequence[Mapping[str, float]]
    meaning: Mapping[str, str]  # of the classes
    warnings: Sequence[str]  # of the data


def evaluation_report(found: Evaluated) -> str:
    """The report as HTML text that needs no other file."""
    cleaned, metrics = found.cleaned, found.metrics
    negative = next(name for name in cleaned.classes if name != cleaned.positive)
    return render(
        TEMPLATE,
        {
            "title": "Evaluation report",
            "run_id": found.record.run_id,
            "record": found.record,
            "positive": cleaned.positive,
            "negative": negative,
            "meaning": found.meaning,
            "words": in_words(metrics, negative),
            "cleaned": cleaned,
            "trained": found.trained,
            "metrics": metrics,
            "test": metrics.levels[Split.TEST],
            "val": metrics.levels[Split.VAL],
            "figures": _ESTIMATES,
            "smallest": smallest(metrics),
            "resamples": f"{RESAMPLES:,}",
            "warnings": found.warnings,
            "plots": [_inlined(plot) for plot in found.plots],
            "training": _inlined(found.training),
            "curves": [heading for heading, _, _ in _CURVES],
            "epochs": [
                [format(row[key], form) for _, key, form in _CURVES] for row in found.history
            ],
            **_cases(found),
        },
    )


def _cases(found: Evaluated) -> dict[str, Any]:
    """The worst mistakes of both kinds under one scale of colours."""
    together = [*found.missed, *found.alarms]
    scale = strongest(together)
    height, width = together[0].activation.shape if together else (0, 0)
    return {
        "missed": [_case(case, scale) for case in found.missed],
        "alarms": [_case(case, scale) for case in found.alarms],
        "scale": f"{scale:.2g}",
        "cells": f"{height}×{width}",
    }


def _case(case: Case, scale: float) -> dict[str, Any]:
    return {
        "raw": case.answer.raw,
        "patient": case.answer.patient,
        "probability": case.answer.probability,
        "strongest": f"{float(np.abs(case.activation).max()):.2g}",
        "picture": _base64(png_bytes(case.pixels)),
        "overlay": _base64(overlay_png(case, scale)),
    }


def _inlined(plot: Plot) -> dict[str, str]:
    return {"alt": plot.alt, "png": _base64(plot.png)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
