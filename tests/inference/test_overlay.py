"""The activation map in colours: orange for, blue against, clear where there is no breast."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ml_tasks.inference.overlay import overlay_png
from ml_tasks.inference.predictor import Predictor, Wanted
from tests.toy_run import make_bundle, phantom

PICTURE = np.zeros((128, 128), np.uint8)
PICTURE[:, :64] = 100


def drawn(activation: list[list[float]]) -> np.ndarray:
    """The overlay (128,128,4), red first."""
    data = overlay_png(np.array(activation, np.float32), PICTURE)
    bgra = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(bgra)[..., [2, 1, 0, 3]]


def test_orange_speaks_for_and_blue_against() -> None:
    overlay = drawn([[4, 4], [-4, -4]])
    red, _, blue, opacity = overlay[0, 0]
    assert red > blue and opacity > 150
    red, _, blue, opacity = overlay[-1, 0]
    assert blue > red and opacity > 150


def test_outside_of_the_breast_it_is_clear() -> None:
    assert not drawn([[4, 4], [4, 4]])[:, 64:, 3].any()


def test_a_faint_map_stays_faint() -> None:
    assert drawn([[0.1, 0.1], [0.1, 0.1]])[..., 3].max() < 30
    assert not drawn([[0, 0], [0, 0]])[..., 3].any()


def test_one_run_of_the_model_gives_both(tmp_path: Path) -> None:
    """The probability is the same, byte for byte, whatever else is asked for."""
    predictor = Predictor.load(make_bundle(tmp_path))
    for brightness in (60, 90, 220):
        plain = predictor.judge(phantom(brightness))
        explained = predictor.judge(phantom(brightness), Wanted(True, True))
        assert plain.prediction == explained.prediction
        assert explained.answer.activation_map is not None and explained.answer.picture is not None
