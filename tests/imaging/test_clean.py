"""The whole of cleaning: what is not breast is exactly 0, and the breast keeps its form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_tasks.dataset.phantoms import phantom
from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.clean import chest_wall, clean, padded_to_square, preprocess
from ml_tasks.imaging.decode import DecodedImage
from ml_tasks.imaging.encode import decoded_png, png_bytes
from ml_tasks.imaging.spec import ImageSpec
from tests.builders import Pixels, cleaned_film, encoded, film
from tests.counts import cases

SPEC = ImageSpec()


def difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def with_label(pixels: Pixels) -> Pixels:
    """A bright label inside the breast's bounding box, in its empty corner."""
    marked = pixels.copy()
    marked[22:38, 68:88] = 235
    return marked


def with_tape(pixels: Pixels) -> Pixels:
    """A strip of tape across the film, over the breast's lower part."""
    marked = pixels.copy()
    marked[164:170] = 160
    return marked


def with_frame(pixels: Pixels) -> Pixels:
    marked = pixels.copy()
    marked[:, -7:], marked[:5] = 250, 250
    return marked


def test_the_picture_has_the_specs_size_and_type() -> None:
    pixels = preprocess(encoded(film(1)), SPEC)
    assert pixels.shape == (128, 128)
    assert pixels.dtype == np.uint8
    assert preprocess(encoded(film(1)), ImageSpec(side=64)).shape == (64, 64)


def test_the_same_bytes_give_the_same_pixels() -> None:
    data = encoded(film(1, lesion=True), "JPEG")
    assert np.array_equal(preprocess(data, SPEC), preprocess(data, SPEC))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PPM"])
def test_the_format_makes_no_difference(kind: str) -> None:
    pixels = film(6, lesion=True)
    expected = preprocess(encoded(pixels), SPEC)
    assert difference(preprocess(encoded(pixels, kind), SPEC), expected) < 2


def test_an_inverted_film_gives_the_same_picture() -> None:
    assert np.array_equal(cleaned_film(255 - film(7)), cleaned_film(film(7)))


def test_left_and_right_breast_give_the_same_orientation() -> None:
    pixels = film(8, lesion=True)
    assert difference(cleaned_film(pixels[:, ::-1].copy()), cleaned_film(pixels)) < 2


def test_the_chest_wall_comes_to_the_left_edge() -> None:
    pixels = cleaned_film(film(8)[:, ::-1].copy())
    assert np.count_nonzero(pixels[:, 0]) > 100
    assert not pixels[:, -1].any()


@pytest.mark.parametrize("marked", [with_label, with_tape, with_frame])
def test_label_tape_and_frame_are_removed(marked: Callable[[Pixels], Pixels]) -> None:
    """A network that sees the label learns the hospital, not the lesion."""
    plain, cleaned = cleaned_film(film(9)), cleaned_film(marked(film(9)))
    rows, columns = np.mgrid[:128, :128]
    # Wider than the breast (half axes 64 and 72 here) by the margin of bare film.
    outside = ((rows - 63.5) / 74) ** 2 + (columns / 83) ** 2 > 1
    assert not plain[outside].any()
    assert not cleaned[outside].any()
    assert difference(cleaned, plain) < 3


def test_outside_of_the_breast_is_exactly_zero() -> None:
    """Film noise there would tell one machine from another."""
    pixels = cleaned_film(film(10))
    assert not pixels[0, 100:].any() and not pixels[-1, 100:].any() and not pixels[:, 90:].any()


@settings(max_examples=cases(60, 1000), deadline=None)
@given(seed=st.integers(0, 10_000), lesion=st.booleans(), white=st.booleans())
def test_of_any_phantom_nothing_but_the_breast_remains(
    seed: int, lesion: bool, white: bool
) -> None:
    """Labels, frames and tape are drawn at random; what the mask leaves out is exactly 0."""
    pixels = phantom(np.random.default_rng(seed), lesion)
    height, width = pixels.shape
    film = 255 - pixels if white else pixels
    image = DecodedImage(film, 1, width, height, format="PNG", mode="L", bit_depth=8)
    cleaned = clean(image, SPEC)
    assert cleaned.inverted is white
    assert not cleaned.pixels[cleaned.mask == 0].any()
    # Label and frame are 235 or brighter, as only a lesion is beside them.
    assert (pixels[cleaned.kept > 0] >= 235).mean() < (0.05 if lesion else 0.001)
    assert 0.2 < cleaned.kept_share < 0.6


def test_the_breast_is_not_stretched() -> None:
    """It is 160 high and 90 wide on the film; a stretched mass is a mass of another shape."""
    pixels = cleaned_film(film(11))
    height = np.flatnonzero(pixels.any(axis=1)).size
    width = np.flatnonzero(pixels.any(axis=0)).size
    assert height == 128
    assert width / height == pytest.approx(90 / 160, abs=0.03)


def test_a_breast_broader_than_high_is_not_stretched_either() -> None:
    film_of_a_broad_breast = np.full((160, 300), 8, np.uint8)
    film_of_a_broad_breast[50:110, :240] = 120
    pixels = cleaned_film(film_of_a_broad_breast) > 60  # without the margin of bare film
    height = np.flatnonzero(pixels.any(axis=1)).size
    width = np.flatnonzero(pixels.any(axis=0)).size
    assert 120 < width < 128
    assert height / width == pytest.approx(60 / 240, abs=0.02)


def test_the_size_of_the_film_makes_no_difference() -> None:
    pixels = film(12, lesion=True)
    doubled = pixels.repeat(2, axis=0).repeat(2, axis=1)
    assert difference(cleaned_film(doubled), cleaned_film(pixels)) < 3


def test_a_lesion_stays_visible() -> None:
    assert cleaned_film(film(13, lesion=True)).max() > cleaned_film(film(13)).max() + 40


@pytest.mark.parametrize("grey", [0, 30, 128, 200, 255])
@pytest.mark.parametrize("noise", [0, 2])
def test_a_blank_film_is_refused_whatever_its_grey(grey: int, noise: int) -> None:
    """The service must not name a class for a film that was never exposed."""
    level = np.random.default_rng(1).normal(grey, noise, (200, 160))
    with pytest.raises(ImageRejected, match="no breast stands out") as refusal:
        preprocess(encoded(np.clip(level, 0, 255).astype(np.uint8)), SPEC)
    assert refusal.value.code == "no_breast"


def test_the_chest_wall_is_at_the_fuller_edge() -> None:
    wall_left = np.tril(np.ones((40, 40), np.uint8))
    assert chest_wall(wall_left) == "left"
    assert chest_wall(wall_left[:, ::-1]) == "right"


@pytest.mark.parametrize(("height", "width"), [(10, 4), (4, 10), (5, 5), (7, 4)])
def test_padding_adds_black_and_moves_nothing(height: int, width: int) -> None:
    pixels = np.full((height, width), 9, np.uint8)
    square = padded_to_square(pixels)
    side = max(height, width)
    assert square.shape == (side, side)
    assert square.sum() == pixels.sum()
    above = (side - height) // 2
    assert np.array_equal(square[above : above + height, :width], pixels)


def test_a_cleaned_picture_reads_back_from_its_png() -> None:
    pixels = cleaned_film(film(14))
    assert np.array_equal(decoded_png(png_bytes(pixels)), pixels)
    assert png_bytes(pixels) == png_bytes(pixels.copy())


def test_the_specs_hash_changes_with_its_numbers() -> None:
    assert SPEC.sha256() == ImageSpec().sha256()
    assert SPEC.sha256() != ImageSpec(opening=17).sha256()


def test_the_polarity_may_be_given() -> None:
    """Where it is in doubt, both ways are looked at."""
    height, width = film(1).shape
    image = DecodedImage(film(1), 1, width, height, format="PNG", mode="L", bit_depth=8)
    found = clean(image, SPEC)
    assert found.whiteness < 0 and not found.inverted
    other = clean(image, SPEC, -found.whiteness)
    assert other.inverted and other.whiteness == -found.whiteness
    assert not np.array_equal(other.mask, found.mask)
