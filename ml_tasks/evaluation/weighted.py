"""All figures of one level at once for many weightings of its cases: what a bootstrap needs.

A weighting of ones gives the plain figure; drawn counts of patients give one resample each. Nothing
is sorted again for a resample, so that 2000 of them on 10,000 images take a second or two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_tasks.config_gate import SPECIFICITIES
from ml_tasks.evaluation.metrics import Labels, Scores

Weights = NDArray[np.float64]  # (B,N): B weightings of N cases
Figures = dict[str, NDArray[np.float64]]  # name to (B,); no number where it cannot be computed

BINS = 10  # of equal width, for the expected calibration error


def figures(labels: Labels, scores: Scores, threshold: float, weights: Weights) -> Figures:
    """Every figure of scores (N,) in 0..1 against labels (N,), for each of the weightings (B,N).

    What needs both classes, or a positive, is no number where they are missing.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        curve = _curve(labels, scores, weights)
        sums = _Sums.of(labels, scores, threshold, weights)
        return {
            "auc": curve.auc(),
            "average_precision": curve.average_precision(),
            **sums.at_threshold(),
            **{
                f"sensitivity_at_specificity_{share:g}": curve.sensitivity_at(share)
                for share in SPECIFICITIES
            },
            **sums.calibration(),
        }


@dataclass(frozen=True)
class _Curve:
    """Weights at each different score (B,K), lowest first, and their sums from it upwards."""

    positive: NDArray[np.float64]
    negative: NDArray[np.float64]
    found: NDArray[np.float64]  # positives that score as high or higher
    alarms: NDArray[np.float64]  # negatives that do

    @property
    def positives(self) -> NDArray[np.float64]:
        return self.found[:, 0]

    @property
    def negatives(self) -> NDArray[np.float64]:
        return self.alarms[:, 0]

    def auc(self) -> NDArray[np.float64]:
        below = self.negatives[:, np.newaxis] - self.alarms + self.negative / 2
        right = np.einsum("bk,bk->b", self.positive, below)
        return np.asarray(right / (self.positives * self.negatives))

    def average_precision(self) -> NDArray[np.float64]:
        """The mean precision over the positives, as scikit-learn defines it: no interpolation.

        Without negatives it would be 1 whatever the scores, so it is no number.
        """
        answered = self.found + self.alarms
        precision = np.divide(self.found, answered, where=answered > 0, out=np.zeros_like(answered))
        mean = np.einsum("bk,bk->b", self.positive, precision) / self.positives
        return np.where(self.negatives > 0, mean, np.nan)

    def sensitivity_at(self, specificity: float) -> NDArray[np.float64]:
        """The largest sensitivity of a threshold at which specificity is not below the given."""
        # Sums of weights carry rounding; a specificity of 0.8 must not miss the bound 0.8.
        most = (1 - specificity + 1e-9) * self.negatives
        kept = self.alarms <= most[:, np.newaxis]
        first = np.argmax(kept, axis=1)  # both sums fall as the score rises
        rows = np.arange(len(first))
        best = np.where(kept[rows, first], self.found[rows, first], 0) / self.positives
        return np.where(self.negatives > 0, best, np.nan)


def _curve(labels: Labels, scores: Scores, weights: Weights) -> _Curve:
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    in_order = bool((order[1:] > order[:-1]).all())  # as a bootstrap hands them over
    sorted_weights = weights if in_order else weights[:, order]
    positive = sorted_weights * labels[order]
    negative = sorted_weights - positive
    if len(starts) < len(order):  # ties count together
        positive = np.add.reduceat(positive, starts, axis=1)
        negative = np.add.reduceat(negative, starts, axis=1)
    return _Curve(positive, negative, _from_above(positive), _from_above(negative))


def _from_above(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.cumsum(parts[:, ::-1], axis=1)[:, ::-1])


@dataclass(frozen=True)
class _Sums:
    """What is a sum over the cases, for each weighting (B,): all by one product of matrices."""

    total: NDArray[np.float64]
    cells: Mapping[str, NDArray[np.float64]]  # of the confusion matrix
    squares: NDArray[np.float64]  # of the distance from probability to truth
    gaps: NDArray[np.float64]  # (B,BINS), probability less truth

    @classmethod
    def of(cls, labels: Labels, scores: Scores, threshold: float, weights: Weights) -> _Sums:
        said = scores >= threshold
        away = scores - labels
        places = np.minimum((scores * BINS).astype(int), BINS - 1)
        binned = (places[:, np.newaxis] == np.arange(BINS)) * away[:, np.newaxis]
        cells = (labels & said, labels & ~said, ~labels & ~said, ~labels & said)
        columns = np.column_stack([np.ones(len(labels)), *cells, away**2, binned])
        sums = weights @ columns
        names = ("tp", "fn", "tn", "fp")
        found = {name: sums[:, place] for place, name in enumerate(names, start=1)}
        return cls(sums[:, 0], found, sums[:, 5], sums[:, 6:])

    def at_threshold(self) -> Figures:
        tp, fn, tn, fp = (self.cells[name] for name in ("tp", "fn", "tn", "fp"))
        sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
        return {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "accuracy": (tp + tn) / self.total,
            "balanced_accuracy": (sensitivity + specificity) / 2,
            # Without positives it would be 0 whatever the model says, so it is no number.
            "f1": np.where(tp + fn > 0, 2 * tp / (2 * tp + fp + fn), np.nan),
        }

    def calibration(self) -> Figures:
        return {
            "brier": self.squares / self.total,
            "ece": np.abs(self.gaps).sum(axis=1) / self.total,
        }
