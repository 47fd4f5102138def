"""What is measured of an image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ml_tasks.imaging.clean import CleanedImage, clean
from ml_tasks.imaging.decode import DecodedImage
from ml_tasks.imaging.measure import ImageMetrics, measure
from ml_tasks.imaging.spec import ImageSpec
from tests.builders import Pixels, film

SPEC = ImageSpec()


def decoded(pixels: Pixels) -> DecodedImage:
    height, width = pixels.shape
    return DecodedImage(pixels, 1, width, height, format="PNG", mode="L", bit_depth=8)


def both(pixels: Pixels) -> tuple[DecodedImage, CleanedImage]:
    image = decoded(pixels)
    return image, clean(image, SPEC)


def metrics(pixels: Pixels) -> ImageMetrics:
    return measure(*both(pixels), SPEC)


def test_brightness_and_contrast_are_those_of_the_breast() -> None:
    found = metrics(film(1))
    assert found.brightness == pytest.approx(96, abs=1)
    assert found.contrast == pytest.approx(6, abs=1)
    assert (found.blank, found.inverted, found.framed) == (False, False, False)
    assert (found.saturation, found.side) == (0.0, "left")


def test_the_breasts_share_of_the_film_is_measured_with_its_margin() -> None:
    share = np.pi * 80 * 90 / 2 / (200 * 160)
    assert share < metrics(film(1)).kept_share < share + 0.08


def test_an_inverted_film_has_the_figures_of_the_upright_one() -> None:
    found = metrics(255 - film(1))
    assert found.inverted
    assert found == metrics(film(1)).model_copy(update={"inverted": True})


def test_the_chest_walls_side_is_told() -> None:
    assert metrics(film(1)[:, ::-1].copy()).side == "right"


def test_a_frame_and_labels_are_told() -> None:
    marked = film(1)
    marked[:, -6:] = 250
    marked[10:26, 110:140] = 230
    found = metrics(marked)
    assert (found.framed, found.parts) == (True, 1)
    assert metrics(film(1)).parts == 0


@pytest.mark.parametrize("grey", [0, 255])
def test_saturation_counts_both_ends_of_the_range_within_the_breast(grey: int) -> None:
    pixels = film(1)
    pixels[80:120, 20:50] = grey
    tissue = measure(*both(film(1)), SPEC)
    assert tissue.saturation == 0
    assert metrics(pixels).saturation == pytest.approx(1200 / 10600, rel=0.2)


def test_blur_lowers_the_sharpness_and_contrast_does_not_change_it() -> None:
    sharp = metrics(film(1)).sharpness
    blurred = film(1)
    blurred[:] = cv2.GaussianBlur(blurred, (0, 0), 2)
    assert metrics(blurred).sharpness < sharp / 10
    stretched = np.clip((film(1).astype(float) - 8) * 1.8 + 8, 0, 255).astype(np.uint8)
    assert metrics(stretched).sharpness == pytest.approx(sharp, rel=0.1)


@pytest.mark.parametrize(("pixels", "blank"), [(np.full((200, 160), 9), True), (film(1), False)])
def test_an_image_without_a_breast_is_measured_as_a_whole(pixels: Pixels, blank: bool) -> None:
    found = measure(decoded(pixels.astype(np.uint8)), None, SPEC)
    assert found.blank is blank
    assert found.brightness == pytest.approx(float(pixels.mean()))
    assert (found.side, found.kept_share, found.parts) == ("", 0.0, 0)


def test_blank_is_what_the_spec_says() -> None:
    assert measure(decoded(film(1)), None, ImageSpec(min_contrast=90)).blank
