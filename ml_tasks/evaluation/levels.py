"""From images to breasts to patients: what a reader decides on is a woman, not a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ml_tasks.evaluation.metrics import Labels, Scores


class Level(StrEnum):
    """What one score stands for."""

    IMAGE = "image"
    BREAST = "breast"
    PATIENT = "patient"


@dataclass(frozen=True)
class Scored:
    """Scores of one level: labels (N,), scores (N,) in 0..1, and whose they are (N,)."""

    labels: Labels
    scores: Scores
    patients: NDArray[np.intp]  # 0 to the number of patients - 1


def levels(
    labels: Labels, scores: Scores, patients: Sequence[str], breasts: Sequence[str]
) -> dict[Level, Scored]:
    """Image scores (N,) brought to breasts (the mean of their images) and patients (the maximum of
    their breasts).

    `breasts` tells L, R or "" for each image; a patient's images of no known side count as one
    breast. A breast or patient is positive if any of its images is.
    """
    _, whose = np.unique(np.asarray(patients), return_inverse=True)
    pairs = [f"{patient}\0{breast}" for patient, breast in zip(patients, breasts, strict=True)]
    _, first, which = np.unique(np.asarray(pairs), return_index=True, return_inverse=True)
    means = np.bincount(which, weights=scores) / np.bincount(which)
    of_breasts = Scored(_any(labels, which, len(first)), means, whose[first])
    count = int(whose.max()) + 1 if len(whose) else 0
    most = np.zeros(count)
    np.maximum.at(most, of_breasts.patients, means)
    of_patients = Scored(_any(labels, whose, count), most, np.arange(count))
    return {
        Level.IMAGE: Scored(labels, scores, whose),
        Level.BREAST: of_breasts,
        Level.PATIENT: of_patients,
    }


def _any(labels: Labels, groups: NDArray[np.intp], count: int) -> Labels:
    return np.bincount(groups[labels], minlength=count) > 0
