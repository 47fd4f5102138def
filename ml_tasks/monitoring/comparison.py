"""The service's images against a release's own: distances, limits, and the sentences they give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml_tasks.config_operation import DriftConfig
from ml_tasks.monitoring.chance import chance_distances
from ml_tasks.monitoring.evidently_report import compare_columns
from ml_tasks.monitoring.reference import FIGURES, ReferenceRow
from ml_tasks.monitoring.service_log import Seen
from ml_tasks.monitoring.verdict import (
    DriftRule,
    FigureDistance,
    figures_rule,
    score_rule,
)
from ml_tasks.records import Record

SCORE = "probability"
LEAST_SCORES = 20  # of the release's own; fewer say nothing of how its answers are spread
_SEED = 7


class Compared(Record):
    """Every figure's distance, and the limits in sentences."""

    figures: tuple[FigureDistance, ...]
    score: FigureDistance | None  # None: the release keeps too few scores
    scores: int  # of the release's own, that were compared with
    rules: tuple[DriftRule, ...]


def compare(
    reference: Sequence[ReferenceRow], seen: Seen, policy: DriftConfig, page: Path
) -> Compared:
    """Compares and writes Evidently's page.

    Raises:
        DriftError: Evidently does not answer as expected.
    """
    own = np.array([row.figures() for row in reference], np.float64)
    now = np.array(seen.figures, np.float64)
    own_scores = scores_like_service(reference, policy.positive_share)
    columns = {name: own[:, at] for at, name in enumerate(FIGURES)}
    current = {name: now[:, at] for at, name in enumerate(FIGURES)}
    chance = dict(zip(FIGURES, chance_distances(own, now, policy.images_per_patient), strict=True))
    least = dict.fromkeys(FIGURES, policy.figure_distance)
    if len(own_scores) >= LEAST_SCORES:
        columns[SCORE], current[SCORE] = own_scores, np.array(seen.probabilities, np.float64)
        pair = (own_scores[:, np.newaxis], current[SCORE][:, np.newaxis])
        chance[SCORE] = chance_distances(*pair, policy.images_per_patient)[0]
        least[SCORE] = policy.max_score_distance
    limits = {name: max(least[name], float(chance[name])) for name in least}
    distances = compare_columns(columns, current, limits, FIGURES, policy.max_drifted_share, page)
    found = {
        name: FigureDistance(
            name=name,
            distance=distances[name],
            limit=limits[name],
            by_chance=float(chance[name]),
            before=float(columns[name].mean()),
            now=float(current[name].mean()),
        )
        for name in limits
    }
    return _judged(found, len(own_scores), policy)


def scores_like_service(
    reference: Sequence[ReferenceRow], positive_share: float | None
) -> NDArray[np.float64]:
    """The release's own probabilities (N,), with as many positives among them as the service's.

    A data set for training often holds far more positives than a screening does: its scores lie
    higher though the model is well. What is too much of a class is left out, by a fixed seed.
    """
    scored = [row for row in reference if row.probability is not None]
    of_class = {
        positive: np.array([row.probability for row in scored if row.positive is positive])
        for positive in (True, False)
    }
    if positive_share is not None:
        generator = np.random.default_rng(_SEED)
        whole = min(
            len(of_class[True]) / positive_share, len(of_class[False]) / (1 - positive_share)
        )
        for positive, share in ((True, positive_share), (False, 1 - positive_share)):
            count = min(len(of_class[positive]), round(whole * share))
            of_class[positive] = generator.permutation(of_class[positive])[:count]
    return np.concatenate([of_class[True], of_class[False]]).astype(np.float64)


def _judged(found: dict[str, FigureDistance], scores: int, policy: DriftConfig) -> Compared:
    figures = tuple(found[name] for name in FIGURES)
    score = found.get(SCORE)
    rules = [figures_rule(figures, policy)]
    if score is not None:
        rules.append(score_rule(score, policy))
    return Compared(figures=figures, score=score, scores=scores, rules=tuple(rules))
