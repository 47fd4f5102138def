"""Warnings: what is no mammogram, cut off, white or too small is told, real films are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_tasks.dataset.phantoms import phantom as phantom_film
from ml_tasks.errors import ImageRejected, ReleaseError
from ml_tasks.evaluation.reference import reference_of
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.imaging.statistics import picture_statistics
from ml_tasks.inference.answer import Quality, in_words
from ml_tasks.inference.predictor import Predictor
from ml_tasks.inference.reference import Reference
from tests.builders import encoded
from tests.counts import cases
from tests.toy_run import METRICS, make_bundle

SPEC = ImageSpec()
ROWS, COLUMNS = np.mgrid[:600, :500]
NOISE = np.random.default_rng(0).integers(0, 256, (600, 500))
ELLIPSE = ((ROWS - 300) / 240) ** 2 + (COLUMNS / 350) ** 2 < 1


def lung(column: int) -> NDArray[np.float64]:
    return 200 * np.exp(-((COLUMNS - column) ** 2 + (ROWS - 300) ** 2) / (2 * 120**2))


NO_MAMMOGRAMS: dict[str, NDArray[np.generic]] = {
    "noise": NOISE,
    "noise in a breast's outline": np.where(ELLIPSE, NOISE, 0),
    "a gradient": 255 - COLUMNS / 500 * 255,
    "a slanting gradient": 255 - (ROWS + COLUMNS) / 1100 * 255,
    "like a chest": lung(150) + lung(350),
    "a flat ellipse": np.where(ELLIPSE, 150, 0),
    "a chessboard": ((COLUMNS // 20 + ROWS // 20) % 2) * 200,
}


def phantoms(first: int, count: int) -> list[bytes]:
    made = (
        phantom_film(np.random.default_rng([7, number]), bool(number % 2))
        for number in range(first, first + count)
    )
    return [encoded(pixels) for pixels in made]


def loaded(root: Path, films: list[bytes]) -> Predictor:
    """A predictor whose reference was made of these films."""
    reference = reference_of(np.stack([preprocess(data, SPEC) for data in films]))
    assert reference is not None
    metrics = {**METRICS, "reference": reference.model_dump(mode="json")}
    return Predictor.load(make_bundle(root, metrics=metrics))


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return loaded(tmp_path_factory.mktemp("phantoms"), phantoms(0, cases(90, 400)))


def codes(predictor: Predictor, data: bytes) -> set[str]:
    return {str(warning.code) for warning in predictor.judge(data).answer.quality}


@pytest.mark.parametrize("name", NO_MAMMOGRAMS)
def test_what_is_no_mammogram_is_refused_or_flagged(predictor: Predictor, name: str) -> None:
    data = encoded(np.clip(NO_MAMMOGRAMS[name], 0, 255).astype(np.uint8))
    try:
        assert Quality.UNLIKE_TRAINING in codes(predictor, data)
    except ImageRejected as refusal:
        assert refusal.code == "no_breast"


def test_other_phantoms_get_no_warning(predictor: Predictor) -> None:
    told = [codes(predictor, data) for data in phantoms(1000, cases(30, 1000))]
    assert sum(bool(found) for found in told) <= 0.01 * len(told), told


def test_real_films_are_hardly_ever_flagged(tmp_path: Path, mini_mias: Path) -> None:
    """Sixty films: a reference of forty, which are few, and the other twenty against it."""
    names = sorted((mini_mias / "images").glob("*.png"))
    films = [path.read_bytes() for path in names[:: len(names) // 60][:60]]
    trained = loaded(tmp_path, [data for at, data in enumerate(films) if at % 3])
    told = [codes(trained, data) for data in films[::3]]
    assert sum(Quality.UNLIKE_TRAINING in found for found in told) <= 1, told
    assert sum(bool(found) for found in told) <= 2, told


def test_real_films_are_told_from_phantoms_and_noise(tmp_path: Path, mini_mias: Path) -> None:
    names = sorted((mini_mias / "images").glob("*.png"))[::8][:40]
    trained = loaded(tmp_path, [path.read_bytes() for path in names])
    data = encoded(np.clip(NO_MAMMOGRAMS["a gradient"], 0, 255).astype(np.uint8))
    assert Quality.UNLIKE_TRAINING in codes(trained, data)
    data = encoded(np.where(ELLIPSE, NOISE, 0).astype(np.uint8))
    assert Quality.UNLIKE_TRAINING in codes(trained, data)


def changed(change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> bytes:
    return encoded(np.ascontiguousarray(change(phantom_film(np.random.default_rng(4), True))))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (changed(lambda pixels: 255 - pixels), Quality.INVERTED),
        (changed(lambda pixels: pixels[::6, ::6]), Quality.LOW_RESOLUTION),
        (encoded(np.where(ELLIPSE, 150, 0).astype(np.uint8)), Quality.BLANK),
        (encoded(np.where(ROWS > 150, 90 + NOISE // 20, 8).astype(np.uint8)), Quality.CROPPED),
    ],
)
def test_each_shortcoming_has_its_own_warning(
    predictor: Predictor, data: bytes, code: Quality
) -> None:
    assert code in codes(predictor, data)


def test_without_a_reference_nothing_is_unlike_it(tmp_path: Path) -> None:
    """Releases made before the reference was measured go on answering."""
    old = Predictor.load(make_bundle(tmp_path))
    data = encoded(np.where(ELLIPSE, NOISE, 0).astype(np.uint8))
    assert old.reference is None and Quality.UNLIKE_TRAINING not in codes(old, data)


def test_a_few_pictures_make_no_reference() -> None:
    assert reference_of(np.zeros((29, 128, 128), np.uint8)) is None
    assert reference_of(np.zeros((30, 128, 128), np.uint8)) is None  # no scatter to measure by


def test_a_reference_of_other_figures_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    assert predictor.reference is not None
    content = predictor.reference.model_dump(mode="json")
    for wrong in (
        {**content, "figures": ["share"]},
        {**content, "means": content["means"][:-1]},
        {**content, "limit": 0},
    ):
        with pytest.raises(ReleaseError, match="reference is not what evaluate writes"):
            Predictor.load(make_bundle(tmp_path, metrics={**METRICS, "reference": wrong}))
    assert Reference.model_validate(content) == predictor.reference


def test_the_distance_of_the_middle_is_zero(predictor: Predictor) -> None:
    assert predictor.reference is not None
    statistics = picture_statistics(preprocess(phantoms(5, 1)[0], SPEC))
    middle = type(statistics)(*predictor.reference.means)
    assert predictor.reference.distance(middle) == 0
    assert 0 < predictor.reference.distance(statistics) < predictor.reference.limit


@pytest.mark.parametrize(
    ("confidence", "words"),
    [(1, "very high"), (0.95, "very high"), (0.9499, "high"), (0.8, "high"), (0.65, "moderate"),
     (0.6499, "low"), (0.3, "low")],
)  # fmt: skip
def test_confidence_in_words(confidence: float, words: str) -> None:
    assert in_words(confidence) == words
