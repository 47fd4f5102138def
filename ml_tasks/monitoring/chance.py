"""How far two samples lie apart by chance alone: few images differ though nothing has changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DRAWS = 400
_QUANTILE = 0.995  # of the draws: one comparison in 200 of like images lies beyond it
_LEAST_DEVIATION = 0.001  # as Evidently takes it, for figures that are all alike


def chance_distances(
    reference: NDArray[np.float64],
    current: NDArray[np.float64],
    images_per_patient: int,
    seed: int = 1,
) -> NDArray[np.float64]:
    """For each column (K,) of (N,K) and (M,K): the distance that chance seldom exceeds.

    The distance is Wasserstein's over the reference's standard deviation. Images are shuffled
    between two samples as large as there are patients: those of one patient are so alike that they
    count as one (of 100 images, four to a patient, one comparison in five would else be a false
    alarm). All columns are shuffled alike.
    """
    pooled = np.concatenate([reference, current])
    order = np.argsort(pooled, axis=0, kind="stable")
    gaps = np.diff(np.take_along_axis(pooled, order, axis=0), axis=0)
    spread = np.maximum(reference.std(axis=0), _LEAST_DEVIATION)
    first, second = (max(2, len(each) // images_per_patient) for each in (reference, current))
    generator = np.random.default_rng(seed)
    drawn = np.empty((DRAWS, pooled.shape[1]))
    for draw in range(DRAWS):
        chosen = generator.choice(len(pooled), first + second, replace=False)
        weights = np.zeros(len(pooled))
        weights[chosen[:first]] = 1 / first
        weights[chosen[first:]] = -1 / second
        apart = np.abs(np.cumsum(weights[order], axis=0)[:-1])
        drawn[draw] = (apart * gaps).sum(axis=0) / spread
    return np.asarray(np.quantile(drawn, _QUANTILE, axis=0), np.float64)
