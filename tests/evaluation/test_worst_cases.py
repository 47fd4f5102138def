"""The worst mistakes are found, and the overlay shows where the map speaks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.evaluation.worst_cases import (
    SHOWN,
    Case,
    false_negatives,
    false_positives,
    overlay_png,
    strongest,
)
from ml_tasks.records import Split


def answer(name: str, label: str, probability: float, split: Split = Split.TEST) -> PredictionRow:
    return PredictionRow(raw=name, label=label, patient=name, split=split, probability=probability)


ANSWERS = [
    answer("a", "Positive", 0.4),
    answer("b", "Positive", 0.1),
    answer("c", "Positive", 0.5),
    answer("d", "Negative", 0.6),
    answer("e", "Negative", 0.9),
    answer("f", "Negative", 0.2),
    answer("g", "Positive", 0.0, Split.VAL),
    answer("h", "Negative", 1.0, Split.VAL),
]


def test_the_least_suspected_positives_and_most_suspected_negatives_of_the_test_come_first() -> (
    None
):
    assert [row.raw for row in false_negatives(ANSWERS, "Positive", 0.5)] == ["b", "a"]
    assert [row.raw for row in false_positives(ANSWERS, "Positive", 0.5)] == ["e", "d"]
    assert false_negatives(ANSWERS, "Positive", 0.0) == []
    assert false_positives(ANSWERS, "Positive", 1.0) == []


def test_no_more_are_shown_than_one_can_look_at() -> None:
    many = [answer(f"{number:03}", "Positive", number / 100) for number in range(50)]
    found = false_negatives(many, "Positive", 0.9)
    assert [row.raw for row in found] == [f"{number:03}" for number in range(SHOWN)]


def overlay(activation: list[list[float]], scale: float) -> np.ndarray:
    """The overlay (128,128,3) red, green, blue on an evenly grey picture."""
    pixels = np.full((128, 128), 100, np.uint8)
    case = Case(ANSWERS[0], pixels, np.array(activation, np.float32))
    data = np.frombuffer(overlay_png(case, scale), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1].astype(int)


def test_what_speaks_for_is_orange_what_speaks_against_is_blue_and_nothing_stays_grey() -> None:
    shown = overlay([[1.0, 0.0], [0.0, -1.0]], 1.0)
    red, _, blue = shown[5, 5]
    assert red > 150 and blue < 60
    red, _, blue = shown[-5, -5]
    assert blue > 130 and red < 60
    assert np.abs(shown[5, -5] - 100).max() <= 2
    assert np.array_equal(overlay([[0.0] * 2] * 2, 0.0), np.full((128, 128, 3), 100))


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_one_scale_gives_one_colour_to_one_activation(scale: float) -> None:
    alone = overlay([[0.5, 0.5], [0.5, 0.5]], scale)
    beside = overlay([[0.5, 0.5], [0.5, 4.0]], scale)
    assert np.array_equal(alone[5, 5], beside[5, 5])


def test_the_scale_is_the_strongest_of_all_pictures() -> None:
    pixels = np.zeros((128, 128), np.uint8)
    cases = [Case(ANSWERS[0], pixels, np.full((2, 2), value, np.float32)) for value in (1, -3)]
    assert strongest(cases) == 3
    assert strongest([]) == 0
