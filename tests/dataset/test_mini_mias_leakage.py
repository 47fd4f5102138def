"""Near-duplicates on the real films of mini-MIAS: each seeded leak is found, no alarm is false."""

from __future__ import annotations

import csv
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from ml_tasks.dataset.examination import film_prints
from ml_tasks.dataset.fingerprint import Fingerprint
from ml_tasks.dataset.near_duplicates import films_alike
from ml_tasks.imaging.clean import clean
from ml_tasks.imaging.decode import decode
from ml_tasks.imaging.spec import ImageSpec
from tests.counts import cases
from tests.dataset.leaks import LEAKS, Film, Leak

STEP = cases(16, 1)  # every which film is leaked
SPEC = ImageSpec()
# The breast fills these, so that with a little more contrast cleaning takes them for inverted ones.
FILLED = {"mdb151", "mdb152"}


@pytest.fixture(scope="module")
def files(mini_mias: Path) -> list[Path]:
    with (mini_mias / "labels.csv").open(newline="") as stream:
        return [mini_mias / row["file"] for row in csv.DictReader(stream)]


def prints_of(data: bytes) -> Fingerprint:
    image = decode(data, SPEC)
    return film_prints(image, clean(image, SPEC), SPEC)


@pytest.fixture(scope="module")
def originals(files: list[Path]) -> list[Fingerprint]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda path: prints_of(path.read_bytes()), files))


def read(path: Path) -> Film:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def test_the_322_films_give_no_false_alarm(originals: list[Fingerprint]) -> None:
    """Both breasts of one woman look alike, and are no duplicates."""
    assert len(originals) == 322
    assert films_alike(originals) == []
    assert 1 < sum(len(prints) > 1 for prints in originals) < 20, "few films are in doubt"


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)
def test_each_leaked_film_is_found_and_no_other(
    leak: Leak, files: list[Path], originals: list[Fingerprint]
) -> None:
    """A film is found among all 322, whatever was done to it, and no other woman's."""
    chosen = [
        number
        for number in range(len(files))
        if number % STEP == LEAKS.index(leak) % STEP or files[number].stem in FILLED
    ]

    def leaked(number: int) -> Fingerprint:
        return prints_of(leak.of(read(files[number]), np.random.default_rng([number, 1])))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = list(pool.map(leaked, chosen))
    found = {(chosen[pair.first], pair.second) for pair in films_alike(made, originals)}
    assert {(number, number) for number in chosen} <= found
    # Two films in turn are one woman's; she lies in one split, whichever of hers are alike.
    assert all(first // 2 == second // 2 for first, second in found)


@pytest.mark.parametrize("name", ["more contrast", "16 bits"])
def test_a_film_that_the_breast_fills_is_found_against_what_one_polarity_left(
    name: str, files: list[Path], originals: list[Fingerprint]
) -> None:
    """What trained production keeps one fingerprint a film: the other side's second is enough."""
    leak = next(leak for leak in LEAKS if leak.name == name)
    chosen = [number for number, file in enumerate(files) if file.stem in FILLED]
    made = [
        prints_of(leak.of(read(files[number]), np.random.default_rng([number, 1])))
        for number in chosen
    ]
    alone = [prints[:1] for prints in originals]
    found = {(chosen[pair.first], pair.second) for pair in films_alike(made, alone)}
    assert found == {(number, number) for number in chosen}
    assert films_alike([prints[:1] for prints in made], alone) == [], "one each would miss them"
