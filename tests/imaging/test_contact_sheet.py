"""Contact sheets: every tile in its place, the kept region outlined, nothing overwritten."""

from __future__ import annotations

import numpy as np
import pytest

from ml_tasks.imaging.contact_sheet import Tile, contact_sheet


def tile(level: int) -> Tile:
    kept = np.zeros((192, 192), np.uint8)
    kept[50:150, 0:90] = 255
    film = np.full((192, 192), 10, np.uint8)
    return Tile(film, kept, np.full((128, 128), level, np.uint8), f"film {level}")


@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_each_film_has_a_place_of_its_own(count: int) -> None:
    tiles = [tile(100 + number) for number in range(count)]
    sheet = contact_sheet(tiles, columns=4)
    assert sheet.dtype == np.uint8
    for number in range(count):
        assert np.count_nonzero(sheet == 100 + number) >= 190 * 190
    assert np.count_nonzero(sheet == 10) > count * 150 * 150


def test_the_film_itself_is_not_drawn_on() -> None:
    one = tile(90)
    contact_sheet([one])
    assert one.film.max() == 10


def test_the_kept_region_is_outlined() -> None:
    with_region = contact_sheet([tile(90)])
    nothing = Tile(tile(90).film, np.zeros((192, 192), np.uint8), tile(90).finished, "film 90")
    outline = np.count_nonzero(with_region != contact_sheet([nothing]))
    assert outline == pytest.approx(2 * (100 + 90), rel=0.1)
