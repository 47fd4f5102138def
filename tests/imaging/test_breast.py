"""Each step that finds the breast, alone."""

from __future__ import annotations

import numpy as np
import pytest

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.background import background
from ml_tasks.imaging.breast import blank, breast_region, largest_body
from ml_tasks.imaging.frame import black_border, without_frame
from ml_tasks.imaging.pixels import convex, filled, within
from ml_tasks.imaging.polarity import background_is_white
from ml_tasks.imaging.spec import ImageSpec
from tests.builders import Pixels, breast_shape, film

SPEC = ImageSpec()
BARE = ImageSpec(margin=0, hollow=0)  # the breast alone, without the margin of bare film


def bordered(pixels: Pixels, share: float, grey: int) -> Pixels:
    width = round(share * max(pixels.shape))
    return np.pad(pixels, width, constant_values=grey)


def overlap(mask: Pixels, shape: np.ndarray) -> float:
    inside = mask.astype(bool)
    return float((inside & shape).sum() / (inside | shape).sum())


def test_an_inverted_film_is_told_from_one_on_dark_ground() -> None:
    assert background_is_white(255 - film(1), SPEC)
    assert not background_is_white(film(1), SPEC)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("share", [0.01, 0.03, 0.05])
@pytest.mark.parametrize("grey", [0, 255])
def test_a_border_of_either_colour_does_not_decide_the_polarity(
    number: int, share: float, grey: int
) -> None:
    """Counting white pixels alone would take a framed film for an inverted one."""
    assert not background_is_white(bordered(film(number), share, grey), SPEC)
    assert background_is_white(bordered(255 - film(number), share, grey), SPEC)


def test_a_film_that_the_breast_fills_is_not_taken_for_an_inverted_one() -> None:
    """Most of it is bright; only the form of the two parts tells which is background."""
    pixels = np.full((200, 160), 245, np.uint8)
    rows, columns = np.mgrid[:200, :160]
    pixels[((rows - 100) / 115) ** 2 + (columns / 150) ** 2 > 1] = 5
    assert (pixels > 215).mean() > 0.7
    assert not background_is_white(pixels, SPEC)


def test_a_white_frame_is_blackened_to_its_depth_on_each_side() -> None:
    pixels = film(2)
    pixels[:6], pixels[-3:], pixels[:, -8:] = 250, 240, 255
    cleared = without_frame(pixels, SPEC)
    assert not cleared[:6].any() and not cleared[-3:].any() and not cleared[:, -8:].any()
    # One line more may go: reduced decoding mixes it.
    assert np.array_equal(cleared[7:-4, :-9], pixels[7:-4, :-9])


def test_a_white_frame_inside_black_padding_is_blackened_too() -> None:
    framed = bordered(film(2), 0.04, 255)
    cleared = without_frame(np.pad(framed, ((0, 0), (40, 40))), SPEC)
    assert (cleared >= SPEC.frame_level).sum() == 0
    assert np.array_equal(cleared[10:-10, 50:-50], film(2)[2:-2, 2:-2])


@pytest.mark.parametrize("turns", range(4))
def test_a_frame_along_part_of_an_edge_is_blackened(turns: int) -> None:
    pixels = np.rot90(film(3), turns).copy()
    pixels[30:90, :6] = 250
    cleared = without_frame(pixels, SPEC)
    assert not cleared[30:90, :6].any()
    assert np.array_equal(cleared[:, 8:], pixels[:, 8:])


def test_a_slanting_frame_is_blackened() -> None:
    pixels = film(3)
    depth = np.linspace(0, 8, 200).astype(int)
    pixels[:, ::-1][np.arange(160) < depth[:, None]] = 250
    assert (without_frame(pixels, SPEC)[:, -9:] >= SPEC.frame_level).sum() == 0


def test_bright_tissue_at_the_chest_wall_is_no_frame() -> None:
    """The pectoral muscle saturates on many films; it fades, a frame ends in one step."""
    pixels = film(3)
    fading = np.linspace(255, 120, 40).astype(np.uint8)
    pixels[30:150, :40] = fading
    assert np.array_equal(without_frame(pixels, SPEC), pixels)


def test_a_film_without_frame_loses_nothing_and_is_not_written_over() -> None:
    pixels = film(2)
    cleared = without_frame(pixels, SPEC)
    assert np.array_equal(cleared, pixels)
    cleared[:] = 0
    assert pixels.any()


def test_a_frame_is_never_taken_deeper_than_the_spec_says() -> None:
    """A wholly white picture must keep its middle, else nothing is left to judge."""
    cleared = without_frame(np.full((200, 100), 255, np.uint8), SPEC)
    assert cleared[13:-13, 7:-7].all()


def test_black_padding_is_left_out_though_a_scan_line_crosses_it() -> None:
    padded = np.pad(film(4), ((0, 0), (50, 30)))
    padded[-3] = 120
    rows, columns = black_border(padded, SPEC)
    assert (rows.start, rows.stop, columns.start, columns.stop) == (0, 200, 50, 210)


@pytest.mark.parametrize("pixels", [np.zeros((9, 7)), np.zeros((2, 2)), np.zeros((1, 1))])
def test_a_border_never_takes_everything(pixels: np.ndarray) -> None:
    assert pixels[black_border(pixels.astype(np.uint8), SPEC)].size


@pytest.mark.parametrize(
    ("level", "noise"), [(0, 0.0), (8, 0.0), (8, 2.0), (30, 4.0), (60, 0.0), (60, 2.0)]
)
def test_level_and_noise_of_the_background_are_measured(level: int, noise: float) -> None:
    random = np.random.default_rng(1)
    pixels = random.normal(level, noise, (256, 200))
    pixels[:, :90] = random.normal(level + 110, 15, (256, 90))
    found = background(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), SPEC)
    assert abs(found.level - level) <= 1
    assert found.noise == pytest.approx(noise, abs=0.8)
    assert found.level < found.skin <= found.tissue < level + 80


def test_the_mask_covers_the_breast_and_little_else() -> None:
    mask = breast_region(film(4, lesion=True), BARE).mask
    assert overlap(mask, breast_shape()) > 0.95


def test_the_margin_of_bare_film_is_as_wide_as_the_spec_says() -> None:
    """mini-MIAS marks a lesion 8 mm outside of the skin line; a tight mask would lose it."""
    wide = breast_region(film(4), SPEC).mask
    tight = breast_region(film(4), BARE).mask
    assert not (tight & (1 - wide)).any()
    row = 100  # the picture is 200 high, the working image 256
    added = (np.count_nonzero(wide[row]) - np.count_nonzero(tight[row])) * 256 / 200
    assert added == pytest.approx(SPEC.margin, abs=1.5)


def test_dim_tissue_is_kept_down_to_the_background() -> None:
    """The skin line fades; a threshold half way up would lose the outer centimetre."""
    pixels = film(4)
    rows, columns = np.mgrid[:200, :160]
    outward = np.sqrt(((rows - 100) / 80) ** 2 + (columns / 90) ** 2)
    rim = (outward > 0.8) & (outward < 1)
    pixels[rim] = (95 - 80 * (outward[rim] - 0.8) / 0.2).astype(np.uint8)
    assert overlap(breast_region(pixels, BARE).mask, breast_shape()) > 0.93


def test_holes_in_the_breast_are_filled() -> None:
    """A dark cyst must not be cut out of the picture."""
    pixels = film(5)
    pixels[90:110, 30:50] = 5
    assert breast_region(pixels, SPEC).mask[90:110, 30:50].all()


def test_a_nipple_belongs_to_the_breast() -> None:
    """It is thinner than the opening, as text is, but joined to the breast."""
    pixels = film(5)
    pixels[96:104, 88:97] = 110
    region = breast_region(pixels, SPEC)
    assert region.mask[97:103, 88:95].all()
    assert region.parts == 0


def test_labels_and_lines_of_text_apart_from_the_breast_are_counted() -> None:
    pixels = film(5)
    assert breast_region(pixels, SPEC).parts == 0
    pixels[10:26, 120:150] = 230
    assert breast_region(pixels, SPEC).parts == 1
    for letter in range(5):  # one line of text
        pixels[180:186, 100 + 8 * letter : 105 + 8 * letter] = 220
    region = breast_region(pixels, SPEC)
    assert region.parts == 2
    assert not region.mask[10:26, 120:150].any() and not region.mask[180:186, 100:150].any()


def test_a_label_in_the_margin_is_left_out() -> None:
    pixels = film(5)
    pixels[40:60, 86:110] = 235  # three pixels from the skin
    mask = breast_region(pixels, SPEC).mask
    assert not mask[42:58, 88:108].any()
    assert overlap(mask, breast_shape()) > 0.85


def test_the_body_at_a_side_edge_is_taken_before_a_larger_one_that_is_not() -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[10:40, :20] = 1
    mask[10:45, 40:62] = 1
    assert largest_body(mask)[20, 5] and not largest_body(mask)[20, 50]
    assert not largest_body(np.zeros((9, 9), np.uint8)).any()


def test_a_grown_mask_reaches_as_far_as_it_should() -> None:
    mask = np.zeros((41, 41), np.uint8)
    mask[20, 20] = 1
    grown = within(mask, 10)
    assert grown[20, 10:31].all() and not grown[20, 9]
    assert np.count_nonzero(grown) == pytest.approx(np.pi * 100, rel=0.1)


def test_filling_and_hull_take_the_largest_body() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[5:25, 5:25] = 1
    mask[10:25, 10:20] = 0  # open below
    mask[6:8, 6:8] = 0
    mask[35:38, 35:38] = 1
    assert np.count_nonzero(filled(mask)) == 400 - 150
    assert np.count_nonzero(convex(mask)) == 400
    assert not filled(np.zeros((9, 9), np.uint8)).any()
    assert not convex(np.zeros((9, 9), np.uint8)).any()


@pytest.mark.parametrize("pixels", [np.zeros((200, 160)), np.full((200, 160), 9)])
def test_a_blank_film_shows_no_breast(pixels: np.ndarray) -> None:
    assert blank(pixels.astype(np.uint8), SPEC)
    with pytest.raises(ImageRejected, match="no breast stands out .* a blank image") as refusal:
        breast_region(pixels.astype(np.uint8), SPEC)
    assert refusal.value.code == "no_breast"


def test_what_is_blank_is_the_specs_to_say() -> None:
    random = np.random.default_rng(1)
    pixels = (film(1) // 12 + random.integers(0, 2, (200, 160))).astype(np.uint8)
    assert blank(pixels, ImageSpec(min_contrast=10))
    assert not blank(pixels, ImageSpec(min_contrast=1))


@pytest.mark.parametrize("ground", [0, 8])
def test_a_film_that_holds_only_a_label_shows_no_breast(ground: int) -> None:
    pixels = np.full((200, 160), ground, np.uint8)
    pixels[20:36, 100:130] = 230
    with pytest.raises(ImageRejected, match="no breast stands out"):
        breast_region(pixels, SPEC)
