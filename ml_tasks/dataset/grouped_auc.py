"""The AUC of cross-validated scores, with an interval that counts patients, not images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 1000
_CHUNK = 50  # resamples at once, which bounds the memory


def auc_with_interval(
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    patients: NDArray[np.intp],
    folds: NDArray[np.intp],
    seed: int,
) -> tuple[float, float, float]:
    """The AUC, and the 2.5 % and 97.5 % points of it under resampling of the patients; all (N,).

    Scores of different folds come from different classifiers and are not compared: the AUC is the
    share of well-ordered pairs among the pairs within a fold (ties count half). The interval is
    the percentile bootstrap over patients, since two films of one woman are not independent; that
    another training would have given other scores is not in it.

    Raises:
        ValueError: no fold holds both classes.
    """
    pairs = [_pairs(scores, labels, folds == fold) for fold in np.unique(folds)]
    auc = _weighted(pairs, np.ones((1, len(labels))))
    if not auc.size:
        raise ValueError("no fold holds both classes, so there is nothing to compare")
    groups = np.unique(patients, return_inverse=True)[1]
    count = int(groups.max()) + 1
    random = np.random.default_rng(seed)
    resampled = []
    for start in range(0, _RESAMPLES, _CHUNK):
        size = min(_CHUNK, _RESAMPLES - start)
        times = random.multinomial(count, np.full(count, 1 / count), size=size)
        resampled.append(_weighted(pairs, times[:, groups].astype(float)))
    low, high = np.percentile(np.concatenate([auc, *resampled]), (2.5, 97.5))
    return float(auc[0]), float(low), float(high)


_Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]


def _pairs(
    scores: NDArray[np.float64], labels: NDArray[np.int64], inside: NDArray[np.bool_]
) -> _Pairs:
    """Positives (P,), negatives (Q,) of a fold, and 1, 1/2 or 0 for each pair (P,Q)."""
    positive = np.flatnonzero(inside & (labels == 1))
    negative = np.flatnonzero(inside & (labels == 0))
    higher, lower = scores[positive][:, None], scores[negative][None, :]
    return positive, negative, (higher > lower) + (higher == lower) / 2


def _weighted(pairs: list[_Pairs], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The AUC (R,) for each row of image weights (R,N); a row without any pair is left out."""
    ordered, total = np.zeros(len(weights)), np.zeros(len(weights))
    for positive, negative, order in pairs:
        first, second = weights[:, positive], weights[:, negative]
        ordered += ((first @ order) * second).sum(axis=1)
        total += first.sum(axis=1) * second.sum(axis=1)
    there = total > 0
    return ordered[there] / total[there]
