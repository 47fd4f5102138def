"""What the training pictures have in common, so that the service can tell what is unlike them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml_tasks.imaging.statistics import PictureStatistics, picture_statistics
from ml_tasks.inference.reference import Reference, distances

_SHARE = 99.9  # per cent of the training pictures that lie within the limit, before the margin
_MARGIN = 1.25  # other films scatter a little farther than those the covariance was made of
_SHRINKAGE = 0.05  # towards the figures' own variances: keeps a few pictures from looking exact
_LEAST = 30  # pictures, under which nothing is said
_MOST = 20_000  # pictures that are measured, evenly spread


def reference_of(pictures: NDArray[np.uint8]) -> Reference | None:
    """The reference of cleaned training pictures (N,side,side).

    None where they are too few, or all alike.
    """
    if len(pictures) < _LEAST:
        return None
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(len(pictures), _MOST)).astype(int))
    vectors = np.stack([picture_statistics(np.asarray(pictures[at])).vector() for at in chosen])
    means = vectors.mean(axis=0)
    inverse = np.asarray(np.linalg.inv(_covariance(vectors)), np.float64)
    limit = float(np.percentile(distances(vectors, means, inverse), _SHARE)) * _MARGIN
    if limit <= 0:
        return None
    return Reference(
        figures=PictureStatistics.names(),
        means=tuple(float(value) for value in means),
        inverse=tuple(tuple(float(value) for value in row) for row in inverse),
        limit=limit,
        pictures=len(vectors),
    )


def _covariance(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.cov(vectors, rowvar=False)
    own = np.diag(np.maximum(np.diag(found), 1e-6))
    return np.asarray((1 - _SHRINKAGE) * found + _SHRINKAGE * own, np.float64)
