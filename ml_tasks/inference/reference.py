"""How far a cleaned picture lies from those that the model was trained on."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ml_tasks.imaging.statistics import PictureStatistics
from ml_tasks.records import Record


class Reference(Record):
    """Figures of the training pictures; travels in the release as part of metrics.json.

    The distance is Mahalanobis': that of the figures from their means, in standard deviations,
    with what they have in common taken out.
    """

    figures: tuple[str, ...]
    means: tuple[float, ...]
    inverse: tuple[tuple[float, ...], ...]  # of the covariance
    limit: float = Field(gt=0)  # what lies farther is unlike the training pictures
    pictures: int = Field(ge=2)  # that it was computed from

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        known = PictureStatistics.names()
        count = len(known)
        if self.figures != known:
            raise ValueError(f"figures are {self.figures}; this version computes {known}")
        if len(self.means) != count or [len(row) for row in self.inverse] != [count] * count:
            raise ValueError(f"means and inverse must be of {count} figures each")
        return self

    def distance(self, statistics: PictureStatistics) -> float:
        """The distance of one picture, 0 at the middle of the training pictures."""
        return float(distances(statistics.vector()[np.newaxis], self.means, self.inverse)[0])


def distances(
    vectors: NDArray[np.float64],
    means: tuple[float, ...] | NDArray[np.float64],
    inverse: tuple[tuple[float, ...], ...] | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mahalanobis distances (N,) of vectors (N,K) from means (K,), by the inverse covariance."""
    away = vectors - np.asarray(means)
    squares = np.einsum("nk,kl,nl->n", away, np.asarray(inverse), away)
    return np.sqrt(np.maximum(squares, 0))
