"""Bins of told probabilities against what was the case: the dots of a calibration plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml_tasks.evaluation.metrics import Labels, Scores
from ml_tasks.evaluation.weighted import BINS


@dataclass(frozen=True)
class Bin:
    """The cases of one tenth of the scale."""

    cases: int
    told: float  # their mean probability
    seen: float  # the share of positives among them
    low: float  # of the 95 % interval of that share (Wilson)
    high: float


def reliability(labels: Labels, scores: Scores) -> list[Bin]:
    """The bins of labels (N,) and scores (N,) in 0..1 that hold a case, lowest first."""
    from scipy.stats import binomtest

    places = np.minimum((scores * BINS).astype(int), BINS - 1)
    bins = []
    for place in np.unique(places):
        inside = places == place
        positives, cases = int(labels[inside].sum()), int(inside.sum())
        interval = binomtest(positives, cases).proportion_ci(0.95, method="wilson")
        told = float(scores[inside].mean())
        bins.append(Bin(cases, told, positives / cases, interval.low, interval.high))
    return bins
