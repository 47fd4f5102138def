"""How good a model is on one level or in one slice: every figure with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_tasks.evaluation.bootstrap import Estimate, estimates
from ml_tasks.evaluation.calibration import calibration_slope
from ml_tasks.evaluation.delong import auc_with_delong
from ml_tasks.evaluation.levels import Level, Scored, levels
from ml_tasks.evaluation.metrics import Labels, Scores
from ml_tasks.records import Record


class Performance(Record):
    """Counts and figures of one level; a figure that cannot be computed has no value."""

    cases: int
    positives: int
    patients: int
    figures: dict[str, Estimate]  # interval: bootstrap over patients
    auc_delong: Estimate  # the AUC with DeLong's interval, cases taken as independent
    calibration_slope: float | None


class Slice(Record):
    """The patients' figures among images that share one value of an attribute."""

    attribute: str
    value: str  # "" where the attribute is not known
    performance: Performance


@dataclass(frozen=True)
class Answers:
    """A split's images: labels (N,), probabilities (N,) in 0..1, and whose they are."""

    labels: Labels
    scores: Scores
    patients: Sequence[str]
    breasts: Sequence[str]  # L, R or ""

    def where(self, chosen: NDArray[np.bool_]) -> Answers:
        """Only the images chosen (N,)."""
        places = [int(place) for place in np.flatnonzero(chosen)]
        return Answers(
            self.labels[places],
            self.scores[places],
            [self.patients[place] for place in places],
            [self.breasts[place] for place in places],
        )

    def levels(self) -> dict[Level, Scored]:
        """Images, breasts and patients."""
        return levels(self.labels, self.scores, self.patients, self.breasts)


def performance(scored: Scored, threshold: float, seed: int) -> Performance:
    """Every figure of one level; positive from `threshold` on.

    Raises:
        MetricError: no case, or a score that is no number.
    """
    figures = estimates(scored, threshold, seed)
    both = bool(scored.labels.any() and not scored.labels.all())
    return Performance(
        cases=len(scored.labels),
        positives=int(scored.labels.sum()),
        patients=len(np.unique(scored.patients)),
        figures=figures,
        auc_delong=_delong(scored) if both else Estimate(value=None),
        calibration_slope=_slope(scored) if both else None,
    )


def by_level(answers: Answers, threshold: float, seed: int) -> dict[Level, Performance]:
    """The figures of images, breasts and patients.

    Raises:
        MetricError: no image, or a score that is no number.
    """
    return {
        level: performance(scored, threshold, seed) for level, scored in answers.levels().items()
    }


def by_slice(
    answers: Answers, attributes: Mapping[str, Sequence[str]], threshold: float, seed: int
) -> list[Slice]:
    """The patients' figures in each slice, the smallest slice of an attribute first.

    `attributes` gives each image's value by name, "" where it is not known. An attribute with one
    value only cuts nothing and is left out.
    """
    found = []
    for attribute, values in attributes.items():
        of_images = np.asarray(values)
        slices = [
            Slice(
                attribute=attribute,
                value=str(value),
                performance=performance(
                    answers.where(of_images == value).levels()[Level.PATIENT], threshold, seed
                ),
            )
            for value in np.unique(of_images)
        ]
        if len(slices) > 1:
            found += sorted(slices, key=lambda part: part.performance.patients)
    return found


def _delong(scored: Scored) -> Estimate:
    auc = auc_with_delong(scored.labels, scored.scores)
    positives = int(scored.labels.sum())
    few = min(positives, len(scored.labels) - positives) < 2  # one case alone does not vary
    if few or auc.standard_error == 0:  # nor does a perfect order, which is no proof of perfection
        return Estimate(value=auc.value)
    return Estimate(value=auc.value, low=auc.low, high=auc.high)


def _slope(scored: Scored) -> float | None:
    positive, negative = scored.scores[scored.labels], scored.scores[~scored.labels]
    if positive.min() >= negative.max() or positive.max() <= negative.min():
        return None  # one score parts the classes: any steeper slope would fit still better
    return calibration_slope(scored.labels, scored.scores)
