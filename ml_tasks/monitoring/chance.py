"""How far two samples lie apart by chance alone: few images differ though nothing has changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DRAWS = 400
_QUANTILE = 0.995  # of the draws: one comparison in 200 of like images lies beyond it
_LEAST_DEVIATION = 0.001  # as Evidently takes it, for figures that are all alike


def chance_distances(
    reference: NDArray[np.float64], current: NDArray[np.float64], seed: int = 1
) -> NDArray[np.float64]:
    """For each column (K,) of (N,K) and (M,K): the distance that chance seldom exceeds.

    The distance is Wasserstein's over the reference's standard deviation. Images are shuffled
    between the two samples; all columns by the same shuffles.
    """
    pooled = np.concatenate([reference, current])
    order = np.argsort(pooled, axis=0, kind="stable")
    gaps = np.diff(np.take_along_axis(pooled, order, axis=0), axis=0)
    spread = np.maximum(reference.std(axis=0), _LEAST_DEVIATION)
    of_current, of_reference = len(current), len(reference)
    ranks = np.arange(1, len(pooled))[:, np.newaxis]
    generator = np.random.default_rng(seed)
    drawn = np.empty((DRAWS, pooled.shape[1]))
    for draw in range(DRAWS):
        mine = np.zeros(len(pooled), np.int64)
        mine[generator.choice(len(pooled), of_current, replace=False)] = 1
        below = np.cumsum(mine[order], axis=0)[:-1]
        apart = np.abs(below / of_current - (ranks - below) / of_reference)
        drawn[draw] = (apart * gaps).sum(axis=0) / spread
    return np.asarray(np.quantile(drawn, _QUANTILE, axis=0), np.float64)
