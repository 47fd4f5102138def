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

    What needs both classes, or a positive answer, is no number where they are missing.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        curve = _curve(labels, scores, weights)
        return {
            "auc": curve.auc(),
            "average_precision": curve.average_precision(),
            **_at_threshold(labels, scores >= threshold, weights),
            **{
                f"sensitivity_at_specificity_{share:g}": curve.sensitivity_at(share)
                for share in SPECIFICITIES
            },
            **_calibration(labels, scores, weights),
        }


@dataclass(frozen=True)
class _Curve:
    """Weight of positives and negatives at each different score (B,K), lowest score first."""

    positive: NDArray[np.float64]
    negative: NDArray[np.float64]

    def auc(self) -> NDArray[np.float64]:
        below = np.cumsum(self.negative, axis=1) - self.negative
        pairs = self.positive.sum(axis=1) * self.negative.sum(axis=1)
        return np.asarray((self.positive * (below + self.negative / 2)).sum(axis=1) / pairs)

    def average_precision(self) -> NDArray[np.float64]:
        """The mean precision over the positives, as scikit-learn defines it: no interpolation."""
        found, alarms = _from_above(self.positive), _from_above(self.negative)
        precision = np.where(found + alarms > 0, found / (found + alarms), 0)
        return np.asarray((self.positive * precision).sum(axis=1) / self.positive.sum(axis=1))

    def sensitivity_at(self, specificity: float) -> NDArray[np.float64]:
        """The largest sensitivity of a threshold at which specificity is not below the given."""
        share = 1 - _from_above(self.negative) / self.negative.sum(axis=1, keepdims=True)
        found = _from_above(self.positive) / self.positive.sum(axis=1, keepdims=True)
        # Sums of weights carry rounding; a specificity of 0.8 must not miss the bound 0.8.
        best = np.where(share >= specificity - 1e-9, found, 0).max(axis=1)
        return np.where(np.isnan(share).any(axis=1) | np.isnan(found).any(axis=1), np.nan, best)


def _curve(labels: Labels, scores: Scores, weights: Weights) -> _Curve:
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    of_positives = weights[:, order] * labels[order]
    of_negatives = weights[:, order] * ~labels[order]
    return _Curve(
        np.add.reduceat(of_positives, starts, axis=1),
        np.add.reduceat(of_negatives, starts, axis=1),
    )


def _from_above(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.cumsum(parts[:, ::-1], axis=1)[:, ::-1])


def _at_threshold(labels: Labels, positive: Labels, weights: Weights) -> Figures:
    cells: Mapping[str, NDArray[np.float64]] = {
        name: weights @ chosen.astype(float)
        for name, chosen in (
            ("tp", labels & positive),
            ("fn", labels & ~positive),
            ("tn", ~labels & ~positive),
            ("fp", ~labels & positive),
        )
    }
    sensitivity = cells["tp"] / (cells["tp"] + cells["fn"])
    specificity = cells["tn"] / (cells["tn"] + cells["fp"])
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": (cells["tp"] + cells["tn"]) / weights.sum(axis=1),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "f1": 2 * cells["tp"] / (2 * cells["tp"] + cells["fp"] + cells["fn"]),
    }


def _calibration(labels: Labels, scores: Scores, weights: Weights) -> Figures:
    total = weights.sum(axis=1)
    places = np.minimum((scores * BINS).astype(int), BINS - 1)
    members = (places[:, np.newaxis] == np.arange(BINS)).astype(float)
    gaps = np.abs(weights @ (members * (scores - labels)[:, np.newaxis]))
    return {
        "brier": (weights @ (scores - labels) ** 2) / total,
        "ece": gaps.sum(axis=1) / total,
    }
