"""The controls find a shortcut where there is one, and none where there is none."""

from __future__ import annotations

import warnings
from typing import Any

import billiard
import numpy as np
import pytest
from numpy.typing import NDArray

from ml_tasks.dataset.examination import examine
from ml_tasks.dataset.shortcuts import _out_of_fold, control, removed_picture
from ml_tasks.imaging.encode import decoded_png
from ml_tasks.imaging.spec import ImageSpec
from tests.builders import encoded, film

COUNT = 160


def marked(seed: int, strength: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_], list[str]]:
    """Noise pictures with labels anywhere; those of one class have a small marker in a corner.

    It covers 3 to 6 % of the side, at a place and of a brightness that differ from film to film.
    """
    random = np.random.default_rng(seed)
    pictures = random.normal(12, 4, (COUNT, 128, 128)).clip(0, 255)
    labels = random.random(COUNT) < 0.4
    for number in range(COUNT):
        down, across = random.integers(60, 110, 2)
        pictures[number, down : down + 6, across : across + 12] = 220
        if labels[number]:
            size, (down, across) = random.integers(4, 8), random.integers(4, 30, 2)
            pictures[number, down : down + size, across : across + size] += strength
    patients = [f"P{number // 2}" for number in range(COUNT)]
    return pictures.clip(0, 255).astype(np.uint8), labels, patients


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_planted_marker_is_found(seed: int) -> None:
    result = control("removed", *marked(seed, strength=150))
    assert result.auc is not None and result.auc >= 0.9
    assert result.low is not None and result.low > 0.8


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_a_marker_it_is_chance(seed: int) -> None:
    result = control("removed", *marked(seed, strength=0))
    assert result.low is not None and result.high is not None
    assert result.low - 0.08 < 0.5 < result.high + 0.08


def test_the_same_pictures_give_the_same_figures() -> None:
    assert control("a", *marked(1, 150)) == control("a", *marked(1, 150))


def test_a_warning_needs_the_whole_interval_above_the_bound() -> None:
    pictures, labels, patients = marked(1, strength=150)
    found = control("outline", pictures, labels, patients, bound=0.65)
    assert found.warning and "is above 0.65" in found.sentence()
    assert not control("outline", pictures, labels, patients, bound=1.0).warning
    assert not control("removed", pictures, labels, patients).warning


def test_nothing_to_learn_and_too_few_patients_are_said() -> None:
    pictures, labels, patients = marked(1, strength=150)
    assert "one constant value" in control("outside", pictures * 0, labels, patients).why
    few = control("removed", pictures[:30], labels[:30], patients[:30])
    assert few.auc is None and "too few patients" in few.sentence()


def test_the_removed_picture_shows_the_label_and_nothing_of_the_breast() -> None:
    marked = film(1, lesion=True)
    marked[10:26, 120:150] = 230
    pictures = examine(encoded(marked), ImageSpec()).pictures
    assert pictures is not None
    removed = removed_picture(decoded_png(pictures.film), decoded_png(pictures.kept), 128)
    assert removed.shape == (128, 128) and removed.dtype == np.uint8
    assert removed[7:16, 78:95].min() > 200  # 128 for the film's 200 pixels
    assert not removed[40:90, 2:40].any()
    assert 0 < np.median(removed[110:, 70:100]) < 20  # bare film stays as it is


def _warnings_of_trees(told: Any) -> None:
    random = np.random.default_rng(0)
    features, labels = random.random((60, 5), np.float32), random.random(60) > 0.5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _out_of_fold(features, labels, np.array([str(number) for number in range(60)]))
    told.put([str(each.message) for each in caught])


def test_a_celery_worker_trains_the_trees_without_a_word() -> None:
    """Its processes are daemons, of which joblib says at each call that they may start none."""
    told = billiard.Queue()
    worker = billiard.Process(target=_warnings_of_trees, args=(told,), daemon=True)
    worker.start()
    assert told.get(timeout=120) == []
    worker.join()
