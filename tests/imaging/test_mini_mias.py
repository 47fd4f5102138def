"""Cleaning on the real films of mini-MIAS."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from ml_tasks.imaging.clean import CleanedImage, clean
from ml_tasks.imaging.decode import DecodedImage, decode
from ml_tasks.imaging.spec import ImageSpec
from tests.builders import Pixels
from tests.counts import cases

SPEC = ImageSpec()
FILMS = 322
FILLED = {"mdb151", "mdb152"}  # the breast fills the whole film


@dataclass(frozen=True)
class Film:
    """One film of the set, as decoded and as cleaned."""

    name: str
    lesions: tuple[tuple[int, int], ...]  # x, y of each centre in the file, y from the top
    image: DecodedImage
    cleaned: CleanedImage


def centres(source_label: str) -> Iterator[tuple[int, int]]:
    """x, y of each lesion centre; the label counts y from the bottom of 1024."""
    for lesion in source_label.split("|"):
        words = lesion.split()
        if len(words) >= 5 and words[3].isdigit() and words[4].isdigit():
            yield int(words[3]), 1023 - int(words[4])


@pytest.fixture(scope="module")
def films(mini_mias: Path) -> list[Film]:
    """All films; one that cleaning refuses fails every test."""
    with (mini_mias / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    def cleaned(row: dict[str, str]) -> Film:
        image = decode((mini_mias / row["file"]).read_bytes(), SPEC)
        lesions = tuple(centres(row["source_label"]))
        return Film(Path(row["file"]).stem, lesions, image, clean(image, SPEC))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(cleaned, rows))


def test_all_films_are_cleaned(films: list[Film]) -> None:
    assert len(films) == FILMS


def test_every_lesion_keeps_its_centre(films: list[Film]) -> None:
    """A lesion cut off with the film's border would train the network on a wrong label."""
    marked = [(film, x, y) for film in films for x, y in film.lesions]
    assert len(marked) > 100
    lost = []
    for film, x, y in marked:
        factor = film.cleaned.geometry.factor
        across, down = film.cleaned.geometry.to_finished(x, y)
        at = film.cleaned.mask[round(down), round(across)]
        if not (film.cleaned.kept[y // factor, x // factor] and at):
            lost.append(film.name)
    assert not lost


def test_nothing_remains_outside_of_the_breast(films: list[Film]) -> None:
    for film in films:
        assert not film.cleaned.pixels[film.cleaned.mask == 0].any(), film.name


def test_no_more_is_kept_than_the_breast_and_its_margin(films: list[Film]) -> None:
    """Keeping the whole film would lose no lesion either; these bounds are from looking at all."""
    shares = np.array([film.cleaned.kept_share for film in films])
    assert shares.min() > 0.15
    assert 0.38 < np.median(shares) < 0.45
    assert {film.name for film in films if film.cleaned.kept_share > 0.86} == FILLED


def test_labels_are_left_outside(films: list[Film]) -> None:
    """Saturated flat patches of the film lie outside: labels are whiter than any tissue there."""
    with_parts = [film for film in films if film.cleaned.parts]
    assert len(with_parts) > 150
    white = 0
    for film in films:
        outside = film.image.pixels[film.cleaned.kept == 0]
        white += int(np.count_nonzero(outside >= 235))
    assert white > 100_000


def test_no_film_is_taken_for_inverted(films: list[Film]) -> None:
    assert not [film.name for film in films if film.cleaned.inverted]


def test_both_breasts_of_a_patient_stand_at_opposite_walls(films: list[Film]) -> None:
    """Files come in pairs: odd numbers with the wall at the right, even ones at the left."""
    wrong = {
        film.name
        for film in films
        if film.cleaned.side != ("right" if int(film.name[3:]) % 2 else "left")
    }
    assert wrong <= FILLED  # there the breast stands along both sides


def inverted(pixels: Pixels, side: str) -> Pixels:
    return 255 - pixels


def framed(pixels: Pixels, side: str) -> Pixels:
    """A white frame 3 % wide on the film's own edges, inside the file's padding."""
    marked = pixels.copy()
    columns = np.flatnonzero((pixels > 0).mean(axis=0) > 0.05)
    left, right, wide = columns[0], columns[-1] + 1, round(0.03 * pixels.shape[0])
    free = slice(right - wide, right) if side == "left" else slice(left, left + wide)
    marked[:, free] = marked[-wide:, left:right] = 252
    return marked


def labelled(pixels: Pixels, side: str) -> Pixels:
    """Text in the film's free lower corner, as side markers are."""
    marked = pixels.copy()
    columns = np.flatnonzero((pixels > 0).mean(axis=0) > 0.05)
    left = columns[-1] - 38 if side == "left" else columns[0] + 4
    cv2.putText(marked, "R MLO", (int(left), 506), cv2.FONT_HERSHEY_SIMPLEX, 0.3, 240, 1)
    return marked


def mirrored(pixels: Pixels, side: str) -> Pixels:
    return np.ascontiguousarray(pixels[:, ::-1])


@pytest.mark.parametrize(
    ("planted", "bound"), [(inverted, 0.5), (framed, 5.0), (labelled, 1.5), (mirrored, 0.5)]
)
def test_a_planted_artefact_hardly_changes_the_finished_picture(
    films: list[Film], planted: Callable[[Pixels, str], Pixels], bound: float
) -> None:
    """Mean difference in grey levels; what covers the breast itself cannot be undone."""
    differences = []
    for film in films[:: cases(6, 1)]:
        marked = planted(film.image.pixels, film.cleaned.side)
        changed = (marked != film.image.pixels) & (film.cleaned.kept > 0)
        if planted is labelled and changed.any():
            continue
        image = DecodedImage(marked, 2, 1024, 1024, format="PNG", mode="L", bit_depth=8)
        found = clean(image, SPEC).pixels.astype(int)
        differences.append(float(np.abs(found - film.cleaned.pixels).mean()))
    assert len(differences) > 30
    assert np.median(differences) < bound / 2
    assert np.percentile(differences, 98) < bound
