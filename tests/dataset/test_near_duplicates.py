"""Near-duplicates among phantoms: every seeded leak is found, different drawings are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_tasks.dataset.fingerprint import (
    OUTSIDE,
    SIDE,
    Fingerprint,
    fingerprint,
    fingerprints,
    from_text,
    inverted,
    to_text,
)
from ml_tasks.dataset.near_duplicates import Pair, films_alike, groups, near_duplicates
from ml_tasks.dataset.phantoms import phantom
from ml_tasks.errors import DataError
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.spec import ImageSpec
from tests.counts import cases
from tests.dataset.leaks import LEAKS, Film, Leak, pgm

FILMS = cases(8, 60)
SPEC = ImageSpec()


def film(number: int) -> Film:
    return phantom(np.random.default_rng([7, number]), lesion=bool(number % 2))


def print_of(data: bytes) -> Fingerprint:
    return fingerprint(preprocess(data, SPEC))


@pytest.fixture(scope="module")
def originals() -> Fingerprint:
    return np.stack([print_of(pgm(film(number))) for number in range(FILMS)])


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)
def test_each_leaked_phantom_is_found_and_no_other(leak: Leak, originals: Fingerprint) -> None:
    leaked = np.stack(
        [print_of(leak.of(film(number), np.random.default_rng(number))) for number in range(FILMS)]
    )
    expected = {(number, number) for number in range(FILMS)}
    for one, other in ((originals, leaked), (leaked, originals)):
        assert {(pair.first, pair.second) for pair in near_duplicates(one, other)} == expected


def test_phantoms_of_one_patient_and_of_others_are_no_near_duplicates() -> None:
    count = cases(40, 240)
    prints = np.stack([print_of(pgm(film(number))) for number in range(count)])
    assert near_duplicates(prints) == []


def test_within_one_set_each_pair_is_named_once(originals: Fingerprint) -> None:
    leaked = [print_of(pgm(film(number)[10:, :-10])) for number in (1, 4)]
    pairs = near_duplicates(np.concatenate([originals, leaked]))
    assert [(pair.first, pair.second) for pair in pairs] == [(1, FILMS), (4, FILMS + 1)]
    assert all(0.75 < pair.similarity <= 1 for pair in pairs)


def test_an_exact_copy_is_as_similar_as_can_be(originals: Fingerprint) -> None:
    (pair,) = near_duplicates(originals[:1], originals[:1])
    assert pair.similarity == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((128, 128), np.uint8),
        np.full((128, 128), 90, np.uint8),
        np.eye(128, dtype=np.uint8) * 200,
    ],
    ids=["nothing", "one grey level", "a thin line"],
)
def test_pictures_without_texture_are_like_none(pixels: Film, originals: Fingerprint) -> None:
    """Two empty pictures say nothing of where they came from."""
    prints = np.concatenate([fingerprints([pixels, pixels]), originals])
    assert near_duplicates(prints) == []


def test_a_film_that_cleaning_took_for_inverted_is_found(originals: Fingerprint) -> None:
    """Black and white exchanged inside of the breast: what a wrong polarity leaves."""
    turned = np.stack([inverted(levels) for levels in originals])
    found = near_duplicates(turned, originals)
    assert {(pair.first, pair.second) for pair in found} == {(n, n) for n in range(len(originals))}
    assert np.array_equal(inverted(turned[0]), originals[0])


def test_a_film_with_two_fingerprints_is_found_by_either_and_not_like_itself(
    originals: Fingerprint,
) -> None:
    one, two, three = ([originals[number]] for number in range(3))
    doubtful = np.stack([*one, *two])
    films = [np.stack(three), doubtful, np.stack(two), np.stack([*one, *one])]
    assert [(pair.first, pair.second) for pair in films_alike(films)] == [(1, 2), (1, 3)]
    against = films_alike([doubtful], [np.stack(three), np.stack(two), doubtful])
    assert [(pair.first, pair.second) for pair in against] == [(0, 1), (0, 2)]
    assert films_alike([]) == films_alike([], [doubtful]) == []


def test_no_pictures_have_no_pairs(originals: Fingerprint) -> None:
    none = fingerprints([])
    assert none.shape == (0, SIDE, SIDE)
    assert near_duplicates(none) == []
    assert near_duplicates(none, originals) == near_duplicates(originals, none) == []


def test_a_fingerprint_is_small_and_comes_back_from_text(originals: Fingerprint) -> None:
    """It lies beside every release, for each picture that trained it."""
    assert originals[0].nbytes == 4096
    assert (originals[0] == OUTSIDE).any() and (originals[0] != OUTSIDE).any()
    assert np.array_equal(from_text(to_text(originals[0])), originals[0])


@pytest.mark.parametrize("text", ["", "no base64!", to_text(np.zeros(5, np.int8))])
def test_a_damaged_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="a stored fingerprint is damaged.*write the file again"):
        from_text(text)


@settings(max_examples=cases(100, 2000), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=25))
def test_groups_are_what_pairs_upon_pairs_join(edges: list[tuple[int, int]]) -> None:
    found = groups([Pair(first, second, 1) for first, second in edges], 20)
    reached = {place: {place} for place in range(20)}
    for _ in range(20):
        for first, second in edges:
            joined = reached[first] | reached[second]
            for place in joined:
                reached[place] = reached[place] | joined
    assert found == tuple(min(reached[place]) for place in range(20))
