"""Challenger against champion on the same locked test patients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml_tasks.evaluation.bootstrap import (
    RESAMPLES,
    Estimate,
    bounded_by,
    percentiles,
    resampled,
    varies,
)
from ml_tasks.evaluation.exact_intervals import difference_interval
from ml_tasks.evaluation.levels import Scored
from ml_tasks.records import Record

COMPARED = ("auc", "sensitivity", "specificity", "accuracy")


class Comparison(Record):
    """What evaluate found when it scored the production model beside the new one."""

    version: str  # of the champion
    digest: str
    champion: dict[str, Estimate]  # its own patient-level figures, at its own threshold
    # Challenger less champion, patient level, by a paired patient-clustered bootstrap.
    difference: dict[str, Estimate]
    refused: str = ""  # why the two cannot be compared; empty where they can


class NoChampion(Record):
    """There is no production model, and by what that is known."""

    proof: str


def compare(
    challenger: Scored,
    champion: Scored,
    thresholds: tuple[float, float],
    seed: int,
    resamples: int = RESAMPLES,
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """The champion's figures, and each of COMPARED as challenger less champion.

    Both have scored the same cases (N,) of the same patients; `thresholds` are the challenger's and
    the champion's own. Each resample draws the same patients for both. Where resamples do not vary,
    since a figure is perfect or both err on the same patients, they tell nothing of the spread: the
    interval is then put together from both own intervals. Only one and the same model differs by
    nothing for certain.

    Raises:
        ValueError: they have not scored the same cases.
        MetricError: a score is no number.
    """
    if not (
        np.array_equal(challenger.labels, champion.labels)
        and np.array_equal(challenger.patients, champion.patients)
    ):
        raise ValueError("challenger and champion must have scored the same cases in one order")
    sides = [(challenger, thresholds[0]), (champion, thresholds[1])]
    drawn = [resampled(scored, threshold, seed, resamples) for scored, threshold in sides]
    own = [bounded_by(*side, of_side) for side, of_side in zip(sides, drawn, strict=True)]
    if thresholds[0] == thresholds[1] and np.array_equal(challenger.scores, champion.scores):
        return own[1], {name: _none(own[1][name]) for name in COMPARED}
    difference = {
        name: _difference(own[0][name], own[1][name], drawn[0][name], drawn[1][name])
        for name in COMPARED
    }
    return own[1], difference


def _none(figure: Estimate) -> Estimate:
    return Estimate(value=None) if figure.value is None else Estimate(value=0, low=0, high=0)


def _difference(
    one: Estimate, other: Estimate, drawn: NDArray[np.float64], drawn_other: NDArray[np.float64]
) -> Estimate:
    if one.value is None or other.value is None:
        return Estimate(value=None)
    value = one.value - other.value
    interval = percentiles(drawn - drawn_other)
    if interval is not None and not all(
        varies(part) for part in (drawn, drawn_other, drawn - drawn_other)
    ):
        interval = _of_both(one, other)
    low, high = interval or (None, None)
    return Estimate(value=value, low=low, high=high)


def _of_both(one: Estimate, other: Estimate) -> tuple[float, float] | None:
    if one.value is None or one.low is None or one.high is None:
        return None
    if other.value is None or other.low is None or other.high is None:
        return None
    return difference_interval((one.value, one.low, one.high), (other.value, other.low, other.high))
