"""Intervals that know which images belong to one woman: whole patients are drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ml_tasks.errors import MetricError
from ml_tasks.evaluation.exact_intervals import CONFIDENCE, auc_interval, binomial_interval
from ml_tasks.evaluation.levels import Scored
from ml_tasks.evaluation.metrics import check_scores
from ml_tasks.evaluation.weighted import Figures, figures
from ml_tasks.records import Record

RESAMPLES = 2000
_CELLS = 1_000_000  # weights held at once: 8 MB
_LEAST_SHARE = 0.95  # of the resamples that must give a number, else there is no interval


class Estimate(Record):
    """A figure and its 95 % interval; None where it cannot be computed."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "not computable"
        if self.low is None or self.high is None:
            return f"{self.value:.3f} (no interval)"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimates(
    scored: Scored, threshold: float, seed: int, resamples: int = RESAMPLES
) -> dict[str, Estimate]:
    """Every figure of one level with the percentile interval of a patient-clustered bootstrap.

    Patients are drawn with replacement, all cases of a patient together. A resample in which a
    figure cannot be computed (one class only) does not count; if more than one in twenty are such,
    the figure has no interval. Where no resample differs from a figure of exactly 0 or 1, its
    interval is computed from the counts of patients instead.

    Raises:
        MetricError: a score is no number.
    """
    return bounded_by(scored, threshold, resampled(scored, threshold, seed, resamples))


def bounded_by(scored: Scored, threshold: float, drawn: Figures) -> dict[str, Estimate]:
    """Every figure of one level with the interval that its resamples give."""
    plain = figures(scored.labels, scored.scores, threshold, np.ones((1, len(scored.labels))))
    return {name: _estimate(float(plain[name][0]), drawn[name], name, scored) for name in plain}


def patient_weights(
    patients: NDArray[np.intp], seed: int, resamples: int
) -> Iterator[NDArray[np.float64]]:
    """How often each of the cases (N,) counts in each resample, (B,N) at a time."""
    count = int(patients.max()) + 1
    random, at_once = np.random.default_rng(seed), max(1, _CELLS // max(count, len(patients)))
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        # Each resample draws as many patients as there are; counted in cells of one long row.
        drawn = random.integers(0, count, (size, count)) + count * np.arange(size)[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=size * count).astype(float)
        yield times.reshape(size, count)[:, patients]


def resampled(scored: Scored, threshold: float, seed: int, resamples: int) -> Figures:
    """Every figure in each of the resamples (B,); one seed draws the same patients again.

    Raises:
        MetricError: a score is no number.
    """
    _check(scored)
    order = np.argsort(scored.scores, kind="stable")  # once, not for each portion of resamples
    labels, scores = scored.labels[order], scored.scores[order]
    parts = [
        figures(labels, scores, threshold, weights)
        for weights in patient_weights(scored.patients[order], seed, resamples)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentiles(drawn: NDArray[np.float64]) -> tuple[float, float] | None:
    """The 95 % interval of a figure's resamples (B,); None where too many have no number."""
    numbers = drawn[np.isfinite(drawn)]
    if len(numbers) < _LEAST_SHARE * len(drawn):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(numbers, (tail, 1 - tail))
    return float(low), float(high)


def varies(drawn: NDArray[np.float64]) -> bool:
    """Whether the resamples (B,) of a figure differ; if not, they tell nothing of its spread."""
    numbers = drawn[np.isfinite(drawn)]
    return bool(len(numbers) and np.ptp(numbers) > 0)


def _estimate(value: float, drawn: NDArray[np.float64], name: str, scored: Scored) -> Estimate:
    if not np.isfinite(value):
        return Estimate(value=None)
    interval = percentiles(drawn)
    if interval is not None and not varies(drawn):
        interval = _of_counts(name, value, scored)
    low, high = interval or (None, None)
    return Estimate(value=value, low=low, high=high)


def _of_counts(name: str, value: float, scored: Scored) -> tuple[float, float] | None:
    """The interval of a figure of exactly 0 or 1 from the patients that it is about."""
    if value not in (0.0, 1.0):
        return None
    positives = len(np.unique(scored.patients[scored.labels]))
    negatives = len(np.unique(scored.patients[~scored.labels]))
    if name == "auc":
        return auc_interval(value, positives, negatives)
    if name.startswith("sensitivity"):
        cases = positives
    elif name in ("specificity", "accuracy"):
        cases = {"specificity": negatives, "accuracy": len(np.unique(scored.patients))}[name]
    else:
        return None
    return binomial_interval(round(value * cases), cases)


def _check(scored: Scored) -> None:
    if not len(scored.labels):
        raise MetricError("there is nothing to judge: no image is left")
    try:
        check_scores(scored.labels, scored.scores)
    except MetricError:
        if not np.isfinite(scored.scores).all():
            raise  # one class alone is told figure by figure
