"""Each step that finds the breast, alone."""

from __future__ import annotations

import numpy as np
import pytest

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.breast import breast_mask, dark_background, without_frame
from ml_tasks.imaging.spec import ImageSpec
from tests.builders import breast_shape, film

SPEC = ImageSpec()


def test_an_inverted_film_is_turned_back() -> None:
    assert np.array_equal(dark_background(255 - film(1)), film(1))


def test_a_film_on_dark_ground_stays_as_it_is() -> None:
    assert np.array_equal(dark_background(film(1)), film(1))


def test_a_white_frame_is_blackened_to_its_depth_on_each_side() -> None:
    pixels = film(2)
    pixels[:6], pixels[-3:], pixels[:, -8:] = 250, 240, 255
    cleared = without_frame(pixels, SPEC)
    assert not cleared[:6].any() and not cleared[-3:].any() and not cleared[:, -8:].any()
    assert np.array_equal(cleared[6:-3, :-8], pixels[6:-3, :-8])


def test_a_film_without_frame_loses_nothing_and_is_not_written_over() -> None:
    pixels = film(2)
    cleared = without_frame(pixels, SPEC)
    assert np.array_equal(cleared, pixels)
    cleared[:] = 0
    assert pixels.any()


def test_a_frame_is_never_taken_deeper_than_the_spec_says() -> None:
    """A wholly white picture must keep its middle, else nothing is left to judge."""
    cleared = without_frame(np.full((200, 100), 255, np.uint8), SPEC)
    assert cleared[12:-12, 6:-6].all()


def test_the_mask_covers_the_breast_and_little_else() -> None:
    mask = breast_mask(film(4, lesion=True), SPEC).astype(bool)
    shape = breast_shape()
    assert (mask & shape).sum() / (mask | shape).sum() > 0.95


def test_holes_in_the_breast_are_filled() -> None:
    """A dark cyst must not be cut out of the picture."""
    pixels = film(5)
    pixels[90:110, 30:50] = 5
    assert breast_mask(pixels, SPEC)[90:110, 30:50].all()


@pytest.mark.parametrize("pixels", [np.zeros((200, 160)), np.full((200, 160), 9)])
def test_a_blank_film_shows_no_breast(pixels: np.ndarray) -> None:
    with pytest.raises(ImageRejected, match="no breast stands out .* a blank image") as refusal:
        breast_mask(pixels.astype(np.uint8), SPEC)
    assert refusal.value.code == "no_breast"


def test_a_film_that_holds_only_a_label_shows_no_breast() -> None:
    pixels = np.full((200, 160), 8, np.uint8)
    pixels[20:36, 100:130] = 230
    with pytest.raises(ImageRejected, match="no breast stands out"):
        breast_mask(pixels, SPEC)
