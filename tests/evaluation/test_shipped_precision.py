"""int8 ships only where the test images keep their label and their AUC."""

from __future__ import annotations

import numpy as np
import pytest

from ml_tasks.evaluation.shipped_precision import ShippedPrecision, decide

LABELS = np.arange(1000) % 2 == 1
SCORES = np.where(LABELS, 0.75, 0.25) + np.linspace(-0.2, 0.2, 1000)


def decided(scores: np.ndarray) -> ShippedPrecision:
    return decide(LABELS, SCORES, scores, 0.5)


def flipped(count: int) -> np.ndarray:
    """The same answers, but so many positives fall just below the threshold."""
    scores = SCORES.copy()
    scores[np.flatnonzero(LABELS)[:count]] = 0.49
    return scores


def test_the_same_answers_ship_as_int8() -> None:
    found = decided(SCORES)
    assert (found.shipped, found.agreement, found.auc_change) == ("int8", 1.0, 0.0)
    assert "quantised to int8" in found.sentence()
    assert "100.00 % of the 1000 test images" in found.sentence()


@pytest.mark.parametrize(("count", "shipped"), [(5, "int8"), (6, "float32")])
def test_the_share_of_kept_labels_decides_at_its_bound(count: int, shipped: str) -> None:
    found = decided(flipped(count))
    assert found.agreement == 1 - count / 1000
    assert found.shipped == shipped


def test_a_moved_auc_refuses_even_where_all_labels_stay() -> None:
    """Ranks within the same side of the threshold count too."""
    labels = np.arange(1000) % 2 == 1
    float32 = np.where(np.arange(1000) < 990, np.where(labels, 0.4, 0.1), 0.9)
    int8 = float32.copy()
    int8[np.flatnonzero(labels)[:20]] = 0.05
    found = decide(labels, float32, int8, 0.8)
    assert found.agreement == 1.0
    assert found.auc_change is not None and found.auc_change < -0.005
    assert found.shipped == "float32"
    assert "does NOT ship" in found.sentence()


def test_answers_that_moved_together_lose_their_labels() -> None:
    """int8 ships under float32's threshold, so what shifts across it is another answer."""
    found = decided(SCORES / 2)
    assert (found.auc_change, found.shipped) == (0.0, "float32")


def test_without_an_auc_nothing_proves_that_it_stays() -> None:
    alike = np.ones(40, bool)
    told = np.linspace(0.6, 0.9, 40)
    found = decide(alike, told, told, 0.5)
    assert (found.shipped, found.agreement, found.auc_change) == ("float32", 1.0, None)
    assert "not computable" in found.sentence()
