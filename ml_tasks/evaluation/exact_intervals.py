"""Intervals where resampling has none: of a figure of exactly 0 or 1 no resample differs.

A model that errs on none of nine patients would else be known to be perfect, which it is not.
"""

from __future__ import annotations

import numpy as np

CONFIDENCE = 0.95
_EDGE = 1e-9


def binomial_interval(found: int, cases: int) -> tuple[float, float]:
    """The exact interval of a share, `found` of `cases` (at least 1), by Clopper and Pearson (The
    use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika 1934).
    """
    from scipy.stats import beta  # a second to load; who only reads figures needs none of it

    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, found, cases - found + 1)) if found else 0.0
    high = float(beta.ppf(1 - tail, found + 1, cases - found)) if found < cases else 1.0
    return low, high


def auc_interval(auc: float, positives: int, negatives: int) -> tuple[float, float]:
    """The score interval of an AUC, from its value and the counts of patients (at least 1) alone.

    Method 5 of Newcombe (Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2, Statistics in Medicine 2006): the AUCs from which the given one lies no
    further than chance allows, by the variance of Hanley and McNeil (Radiology 1982) with half of
    all cases in place of each count. It does not collapse at 0 and 1.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    reach = float(norm.ppf(0.5 + CONFIDENCE / 2))

    def gap(truth: float, side: int) -> float:
        return side * (auc - truth) - reach * _standard_error(truth, positives, negatives)

    # At 0 and 1 themselves the error is 0, so that they would pass for the end that is looked for.
    low = brentq(gap, 0.0, min(auc, 1 - _EDGE), args=(1,)) if auc > 0 else 0.0
    high = brentq(gap, max(auc, _EDGE), 1.0, args=(-1,)) if auc < 1 else 1.0
    return float(low), float(high)


def difference_interval(
    one: tuple[float, float, float], other: tuple[float, float, float]
) -> tuple[float, float]:
    """The interval of `one` less `other`, each as value, low and high.

    Both intervals are put together as of independent figures, which is wider than the truth where
    they were measured on the same patients (Zou and Donner, Construction of confidence limits about
    effect measures: a general approach, Statistics in Medicine 2008).
    """
    (first, low_first, high_first), (second, low_second, high_second) = one, other
    difference = first - second
    return (
        difference - float(np.hypot(first - low_first, high_second - second)),
        difference + float(np.hypot(high_first - first, second - low_second)),
    )


def _standard_error(auc: float, positives: int, negatives: int) -> float:
    half = (positives + negatives) / 2 - 1
    pairs = 1 + half * (1 - auc) / (2 - auc) + half * auc / (1 + auc)
    return float(np.sqrt(auc * (1 - auc) * pairs / (positives * negatives)))
