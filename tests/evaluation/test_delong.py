"""The DeLong interval is that of R's pROC, on scores with and without ties."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml_tasks.errors import MetricError
from ml_tasks.evaluation.delong import auc_with_delong, placements

DATA = Path(__file__).parent / "data"


def sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Labels (N,) and scores (N,) of each set in scores.csv."""
    found: dict[str, list[tuple[bool, float]]] = {}
    with (DATA / "scores.csv").open() as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["set"], []).append((row["label"] == "1", float(row["score"])))
    return {
        name: (np.array([label for label, _ in rows]), np.array([score for _, score in rows]))
        for name, rows in found.items()
    }


def reference() -> list[dict[str, str]]:
    """What pROC gave for them: see proc_reference.R."""
    with (DATA / "proc_reference.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("row", reference(), ids=lambda row: row["set"])
def test_it_is_procs_to_a_millionth(row: dict[str, str]) -> None:
    found = auc_with_delong(*sets()[row["set"]])
    assert found.value == pytest.approx(float(row["auc"]), abs=1e-9)
    assert found.low == pytest.approx(float(row["low"]), abs=1e-6)
    assert found.high == pytest.approx(float(row["high"]), abs=1e-6)


def test_the_reference_covers_ties_small_sets_and_both_ends() -> None:
    found = {name: auc_with_delong(*pair) for name, pair in sets().items()}
    assert len(found) == len(reference()) >= 12
    assert min(auc.value for auc in found.values()) < 0.4
    assert max(auc.value for auc in found.values()) == 1.0
    assert any(auc.high == 1.0 and auc.value < 1.0 for auc in found.values())


def test_either_side_of_the_placements_has_the_auc_as_its_mean() -> None:
    for labels, scores in sets().values():
        above, below = placements(labels, scores)
        auc = roc_auc_score(labels, scores)
        assert above.mean() == pytest.approx(auc) and below.mean() == pytest.approx(auc)


def test_one_class_or_no_number_is_refused() -> None:
    with pytest.raises(MetricError, match="one class"):
        auc_with_delong(np.array([True, True]), np.array([0.1, 0.2]))
    with pytest.raises(MetricError, match="no numbers"):
        auc_with_delong(np.array([True, False]), np.array([0.1, np.inf]))
