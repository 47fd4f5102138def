"""Calibration figures on scores whose calibration is known."""

from __future__ import annotations

import numpy as np
import pytest

from ml_tasks.errors import MetricError
from ml_tasks.evaluation.calibration import TEMPERATURES, calibration_slope, fitted, prior_shift
from ml_tasks.evaluation.weighted import figures
from ml_tasks.inference.calibration import Calibration, logits
from ml_tasks.records import PreprocessRecord, Split

RANDOM = np.random.default_rng(5)
LOG_ODDS = RANDOM.normal(0, 2, 20_000)
RIGHT = 1 / (1 + np.exp(-LOG_ODDS))
LABELS = RANDOM.random(20_000) < RIGHT


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_slope_says_how_much_too_extreme(factor: float) -> None:
    scores = 1 / (1 + np.exp(-LOG_ODDS * factor))
    assert calibration_slope(LABELS, scores) == pytest.approx(1 / factor, rel=0.05)


def test_right_probabilities_have_no_calibration_error() -> None:
    one = np.ones((1, len(LABELS)))
    right = figures(LABELS, RIGHT, 0.5, one)
    wrong = figures(LABELS, np.asarray(np.clip(RIGHT * 1.5, 0, 1)), 0.5, one)
    assert right["ece"][0] < 0.015 and wrong["ece"][0] > 0.1
    assert right["brier"][0] < wrong["brier"][0]


def test_log_odds_of_certainty_are_finite() -> None:
    assert np.isfinite(logits(np.array([0.0, 1.0]))).all()
    assert logits(np.array([0.5]))[0] == 0.0


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("shift", [-1.5, 0.0, 2.0])
def test_the_fit_finds_the_temperature_that_was_put_in(factor: float, shift: float) -> None:
    raw = 1 / (1 + np.exp(-(LOG_ODDS * factor - shift)))
    found = fitted(LABELS, raw, shift)
    assert found.temperature == pytest.approx(factor, rel=0.05)
    assert found.prior_shift == shift and not found.note
    told = found.apply(raw)
    one = np.ones((1, len(LABELS)))
    assert figures(LABELS, told, 0.5, one)["ece"][0] < 0.015
    assert calibration_slope(LABELS, told) == pytest.approx(1, abs=0.05)


def test_calibration_keeps_the_order_and_says_what_one_writes_down() -> None:
    raw = np.array([0.1, 0.5, 0.9])
    told = Calibration(temperature=2, prior_shift=-1).apply(raw)
    assert told == pytest.approx(1 / (1 + np.exp(-(np.log(raw / (1 - raw)) - 1) / 2)))
    assert (np.diff(told) > 0).all()


def test_what_cannot_be_fitted_is_said_and_not_made_up() -> None:
    raw = np.array([0.2, 0.3, 0.7, 0.9])
    apart = fitted(np.array([False, False, True, True]), raw, 0)
    assert apart.temperature == 1 and "on its right side" in apart.note
    alone = fitted(np.ones(4, bool), raw, 0.5)
    assert (alone.temperature, alone.prior_shift) == (1, 0.5)
    assert "the 4 validation images are of one class" in alone.note
    upside_down = fitted(np.array([True, True, False, False]), raw, 0)
    assert upside_down.temperature == TEMPERATURES[1]
    assert "beyond 20, the largest that is allowed" in upside_down.note
    close = np.array([0.5 - 1e-4, 0.5 - 1e-4, 0.5 + 1e-4, 0.5 + 1e-4])
    sharp = fitted(np.array([False, False, True, True]), close, 1e-3)
    assert sharp.temperature == TEMPERATURES[0]
    assert "beyond 0.05, the smallest that is allowed" in sharp.note


def cleaned(
    counts: dict[str, int], shown: dict[str, int], weights: dict[str, float] | None = None
) -> PreprocessRecord:
    return PreprocessRecord(
        run_id="r",
        raw="raw",
        started_at="2026-01-02T03:04:05+00:00",
        manifest_sha256="ab",
        index_sha256="cd",
        arrays_sha256=dict.fromkeys(Split, "ab"),
        spec_sha256="ef",
        training_data_sha256="01",
        classes=("Negative", "Positive"),
        positive="Positive",
        counts={Split.TRAIN: counts, Split.VAL: {}, Split.TEST: {}},
        patients=dict.fromkeys(Split, 5),
        trained_on=shown,
        class_weights=weights or {},
    )


def test_the_shift_leads_from_what_was_shown_back_to_what_is() -> None:
    true = {"Negative": 90, "Positive": 10}
    even = {"Negative": 90, "Positive": 90}
    assert prior_shift(cleaned(true, even)) == pytest.approx(np.log(10 / 90))
    assert prior_shift(cleaned(true, true)) == 0
    weighted = cleaned(true, true, {"Negative": 100 / 180, "Positive": 5.0})
    assert prior_shift(weighted) == pytest.approx(np.log(10 / 90))


def test_a_model_that_learned_balanced_classes_is_right_again() -> None:
    """Raw probabilities of a balanced world, told in one where one in ten is positive."""
    random = np.random.default_rng(8)
    labels = random.random(20_000) < 0.1
    evidence = random.normal(np.where(labels, 1, -1), 1.0)  # log likelihood ratio: 2 * evidence
    raw = 1 / (1 + np.exp(-2 * evidence))
    record = cleaned({"Negative": 90, "Positive": 10}, {"Negative": 90, "Positive": 90})
    calibration = fitted(labels, raw, prior_shift(record))
    assert calibration.temperature == pytest.approx(1, abs=0.05)
    assert calibration.apply(raw).mean() == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize(
    ("counts", "shown"),
    [({"Negative": 9}, {"Negative": 9}), ({"Negative": 9, "Positive": 1}, {"Negative": 9})],
)
def test_a_class_missing_from_training_is_named(
    counts: dict[str, int], shown: dict[str, int]
) -> None:
    with pytest.raises(MetricError, match="the training split has no Positive image"):
        prior_shift(cleaned(counts, shown))
