"""Where a point of the file comes to lie: computed, and seen in the finished picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_tasks.imaging.clean import clean
from ml_tasks.imaging.decode import DecodedImage, decode
from ml_tasks.imaging.geometry import Geometry
from ml_tasks.imaging.spec import ImageSpec
from tests.builders import Pixels, encoded
from tests.counts import cases

SPEC = ImageSpec()


def film_of(height: int, width: int, breast: tuple[int, int], mirrored: bool) -> Pixels:
    """A smooth breast of half axes (down, across) at the left or the right edge."""
    rows, columns = np.mgrid[:height, :width]
    inside = ((rows - height * 0.5) / breast[0]) ** 2 + (columns / breast[1]) ** 2 < 1
    pixels = np.where(inside, 90, 8).astype(np.uint8)
    return pixels[:, ::-1].copy() if mirrored else pixels


def planted(pixels: Pixels, x: int, y: int, radius: int) -> Pixels:
    marked = pixels.copy()
    cv2.circle(marked, (x, y), radius, 250, cv2.FILLED)
    return marked


def centroid(pixels: Pixels, plain: Pixels) -> tuple[float, float]:
    """Centre of what two finished pictures differ by: x, y."""
    more = np.clip(pixels.astype(float) - plain, 0, None)
    rows, columns = np.mgrid[: more.shape[0], : more.shape[1]]
    return float((more * columns).sum() / more.sum()), float((more * rows).sum() / more.sum())


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("height", "width", "breast", "factor"),
    [
        (400, 320, (170, 150), 1),
        (110, 100, (50, 45), 1),  # smaller than the finished picture: enlarged
        (1203, 905, (540, 420), 2),  # no whole number of reduced pixels
        (2200, 1500, (900, 700), 4),
        (4400, 3300, (2000, 1500), 8),
        (1201, 1600, (300, 1300), 2),  # broader than high
    ],
)
def test_a_planted_disc_lies_where_the_geometry_says(
    height: int, width: int, breast: tuple[int, int], factor: int, mirrored: bool
) -> None:
    """A lesion mark that is off by a pixel would be counted at the wrong place, or lost."""
    pixels = film_of(height, width, breast, mirrored)
    plain = clean(decode(encoded(pixels), SPEC), SPEC)
    assert plain.geometry.factor == factor
    assert plain.geometry.mirrored is mirrored
    for across, down in ((0.25, 0.5), (0.6, 0.45), (0.4, 0.62)):
        x, y = int(across * breast[1]), int(down * height)
        x = width - 1 - x if mirrored else x
        radius = max(3, round(0.03 * min(height, width)))
        found = clean(decode(encoded(planted(pixels, x, y, radius)), SPEC), SPEC)
        assert found.geometry == plain.geometry
        expected = plain.geometry.to_finished(x, y)
        assert centroid(found.pixels, plain.pixels) == pytest.approx(expected, abs=0.3)
        assert found.mask[round(expected[1]), round(expected[0])] == 1


@settings(max_examples=cases(200, 2000), deadline=None)
@given(
    factor=st.sampled_from([1, 2, 4, 8]),
    left=st.integers(0, 200),
    top=st.integers(0, 200),
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    mirrored=st.booleans(),
    data=st.data(),
)
def test_a_point_in_the_crop_comes_to_lie_in_the_picture(
    factor: int, left: int, top: int, width: int, height: int, mirrored: bool, data: st.DataObject
) -> None:
    """And steps of the file are steps of the picture, turned about where it is mirrored."""
    geometry = Geometry(
        factor=factor, left=left, top=top, width=width, height=height, mirrored=mirrored, side=128
    )
    x = data.draw(st.integers(left * factor, (left + width) * factor - 1))
    y = data.draw(st.integers(top * factor, (top + height) * factor - 1))
    across, down = geometry.to_finished(x, y)
    assert -0.5 <= across <= 127.5 and -0.5 <= down <= 127.5
    step, fall = geometry.to_finished(x + 1, y + 1)
    assert step - across == pytest.approx(-geometry.scale if mirrored else geometry.scale)
    assert fall - down == pytest.approx(geometry.scale)


def test_the_mirror_image_has_the_mirrored_geometry() -> None:
    pixels = film_of(400, 320, (170, 150), mirrored=False)

    def geometry(film: Pixels) -> Geometry:
        image = DecodedImage(film, 1, 320, 400, format="PNG", mode="L", bit_depth=8)
        return clean(image, SPEC).geometry

    one, other = geometry(pixels), geometry(pixels[:, ::-1].copy())
    assert (one.mirrored, other.mirrored) == (False, True)
    assert one.to_finished(40, 180) == pytest.approx(other.to_finished(319 - 40, 180), abs=0.5)
