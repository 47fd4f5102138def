"""Decoding: every format gives the same picture, and no file does harm."""

from __future__ import annotations

import io
import resource
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.decode import decode
from ml_tasks.imaging.spec import ImageSpec
from tests.builders import encoded, film, png_chunk, png_header, with_chunks
from tests.counts import cases
from tests.fuzz.mutations import with_checksums
from tests.imaging.dicom_files import dicom_bytes

SPEC = ImageSpec()
PICTURE = film(3, lesion=True)


def deep(pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The same picture in 12 of 16 bits, as digital machines save it."""
    return pixels.astype(np.uint16) * 16


def stretched(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What 16-bit decoding does to a picture: its own range, less 0.1 % at either end, is 0-255."""
    low, high = np.percentile(pixels, (0.1, 99.9))
    return np.clip((pixels - low) * 255 / (high - low), 0, 255)


def several_frames(kind: str) -> bytes:
    file = io.BytesIO()
    first, second = Image.fromarray(PICTURE), Image.fromarray(255 - PICTURE)
    first.save(file, kind, save_all=True, append_images=[second])
    return file.getvalue()


def changed(data: bytes, place: int) -> bytes:
    """The bytes with one of them inverted."""
    return data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("PNG", {"compress_level": 0}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("PPM", {}),
    ],
)
def test_lossless_formats_give_the_very_pixels(kind: str, options: dict[str, Any]) -> None:
    image = decode(encoded(PICTURE, kind, **options), SPEC)
    assert np.array_equal(image.pixels, PICTURE)
    named = {"PPM": "PGM"}.get(kind, kind)  # Pillow names the family
    assert (image.format, image.mode, image.bit_depth) == (named, "L", 8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "DICOM"])
def test_a_reduced_film_is_cleaned_like_a_whole_one(kind: str) -> None:
    """Parity with the full-resolution path: at most 1.5 grey levels on average."""
    random = np.random.default_rng(5)
    rows, columns = np.mgrid[:2200, :1800]
    inside = ((rows - 1100) / 950) ** 2 + (columns / 1200) ** 2 < 1
    texture = np.asarray(
        Image.fromarray(random.normal(0, 25, (55, 45)).astype(np.float32)).resize((1800, 2200), 3)
    )
    grain = random.normal(0, 4, inside.shape)
    grey = np.clip(np.where(inside, 120 + texture, 6) + grain, 0, 255)
    if kind == "JPEG":
        data = encoded(grey.astype(np.uint8), "JPEG", quality=95)
    else:
        values = (grey * 16).astype(np.uint16)
        data = encoded(values) if kind == "PNG" else dicom_bytes(values)
    whole = preprocess(data, ImageSpec(decode_side=100_000))
    assert decode(data, SPEC).factor == 4
    assert np.abs(preprocess(data, SPEC).astype(int) - whole).mean() <= 1.5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("turn", [3, 6, 8])
def test_an_orientation_is_passed_over_in_every_format(kind: str, turn: int) -> None:
    """Else one film would be two pictures, by the program that saved it."""
    noted = Image.Exif()
    noted[0x0112] = turn
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="{turn}"/></x:xmpmeta>'.encode()
    ways: list[dict[str, Any]] = [{"exif": noted.tobytes()}]
    if kind == "TIFF":
        ways = [{"tiffinfo": {274: turn}}, {"tiffinfo": {274: turn}, "compression": "tiff_lzw"}]
        ways += [{"tiffinfo": {700: xmp}}, {"big_tiff": True, "tiffinfo": {274: turn}}]
    plain = decode(encoded(PICTURE, kind), SPEC)
    for way in ways:
        found = decode(encoded(PICTURE, kind, **way), SPEC)
        assert np.array_equal(found.pixels, plain.pixels), way
        assert (found.width, found.height) == (160, 200)


@pytest.mark.parametrize("white", [100, 255, 256, 4095, 65535])
@pytest.mark.parametrize("text", [False, True])
def test_a_pgm_of_any_depth_is_the_same_picture(white: int, text: bool) -> None:
    values = np.rint(PICTURE / 255 * white).astype(np.uint16)
    head = f"P{2 if text else 5}\n# a film\n160 200 # its size\n{white}\n".encode()
    if text:
        body = b"# pixels\n" + "\n".join(" ".join(map(str, row)) for row in values).encode()
    else:
        body = values.astype(">u2" if white > 255 else np.uint8).tobytes()
    image = decode(head + body, SPEC)
    expected = PICTURE if white < 256 else stretched(PICTURE)
    assert np.abs(image.pixels - expected.astype(float)).max() <= 255 / min(white, 255) + 1
    assert (image.format, image.bit_depth) == ("PGM", 8 if white < 256 else 16)


def test_jpeg_gives_nearly_the_same_pixels() -> None:
    found = decode(encoded(PICTURE, "JPEG", quality=95), SPEC).pixels
    assert np.abs(found.astype(int) - PICTURE).mean() < 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_give_the_same_picture(kind: str) -> None:
    image = decode(encoded(deep(PICTURE), kind), SPEC)
    assert image.bit_depth >= 16
    assert np.abs(image.pixels - stretched(PICTURE)).max() <= 1


def test_a_single_hot_pixel_does_not_darken_a_deep_picture() -> None:
    values = deep(PICTURE)
    values[0, 0] = 65535
    found = decode(encoded(values), SPEC).pixels
    assert np.abs(found - stretched(PICTURE))[1:].max() <= 1


@pytest.mark.parametrize("mode", ["1", "LA", "P", "RGB", "RGBA"])
def test_other_pixel_types_become_grey(mode: str) -> None:
    file = io.BytesIO()
    Image.fromarray(PICTURE).convert(mode).save(file, "PNG")
    image = decode(file.getvalue(), SPEC)
    assert image.pixels.shape == PICTURE.shape
    if mode != "1":
        assert np.abs(image.pixels.astype(int) - PICTURE).max() <= 1


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "empty", r"the file is empty \(0 bytes\)"),
        (b"file,label\nmdb001.png,Positive\n", "not_an_image", "PNG, JPEG, TIFF, PGM and DICOM"),
        (encoded(PICTURE, "BMP"), "not_an_image", "not a readable image"),
        (encoded(PICTURE, "GIF"), "not_an_image", "not a readable image"),
        (encoded(PICTURE)[:-4000], "unreadable", r"the file is cut off after 1\d,\d{3} bytes"),
        (encoded(PICTURE)[:20], "unreadable", "damaged or cut off"),
        (encoded(PICTURE)[:30], "unreadable", "the file is cut off after 30 bytes"),
        (changed(encoded(PICTURE), 4000), "unreadable", "damaged at byte 33: a checksum differs"),
        (
            with_checksums(changed(encoded(PICTURE), 4000)),
            "unreadable",
            "its pixels cannot be unpacked",
        ),
        (encoded(PICTURE, transparency=7), "unsupported", "transparency is not read; use plain"),
        (
            with_chunks(encoded(PICTURE), 200_000 * png_chunk(b"tEXt")),
            "unsupported",
            "over 200,000 chunks; save it anew",
        ),
        (encoded(PICTURE, "JPEG")[:-2000], "unreadable", "damaged or cut off"),
        (encoded(PICTURE, "PPM")[:-2000], "unreadable", "damaged or cut off"),
        (encoded(PICTURE[:10]), "too_small", "160x10 pixels; each side needs at least 16"),
        (several_frames("TIFF"), "unsupported", "several pictures; save one in each file"),
        (several_frames("PNG"), "unsupported", "several pictures; save one in each file"),
        (encoded(np.dstack([PICTURE] * 3), "PPM"), "unsupported", "only PGM is read"),
        (b"P5 160 200 70000\n" + bytes(64000), "unsupported", "whose white is 70000"),
        (b"P2 160 200 255\n" + b"7 " * 31999, "unreadable", "damaged or cut off"),
        (b"P2 160 200 255\n" + b"7 " * 31999 + b"-7", "unreadable", "pixels are missing"),
        (b"P2 160 200 255\n" + b"7" * 300_000, "unreadable", "more text than its pixels need"),
        (
            encoded(PICTURE.astype(np.float32), "TIFF"),
            "unsupported",
            "pixel type F is not read; use grey 8 or 16 bit",
        ),
    ],
)
def test_what_is_no_usable_image_is_refused_with_its_code(
    data: bytes, code: str, says: str
) -> None:
    with pytest.raises(ImageRejected, match=says) as refusal:
        decode(data, SPEC)
    assert refusal.value.code == code


def test_a_header_that_claims_too_much_is_refused_without_taking_memory() -> None:
    """A file of 1 kB must not make the service allocate 3.6 GB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageRejected, match="claims 60000x60000 pixels; at most 50 mega") as bomb:
        decode(png_header(60000, 60000), SPEC)
    assert bomb.value.code == "too_large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_the_limit_is_the_specs() -> None:
    with pytest.raises(ImageRejected, match="at most 0.03 megapixels are read"):
        decode(encoded(PICTURE), ImageSpec(max_megapixels=0.03))


@settings(
    max_examples=cases(150, 5000), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "PPM"]),
    changes=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), max_size=8),
    kept=st.one_of(st.none(), st.integers(0, 6000)),
    tail=st.binary(max_size=40),
)
def test_damaged_bytes_are_cleaned_or_refused_and_nothing_else(
    kind: str, changes: list[tuple[int, int]], kept: int | None, tail: bytes
) -> None:
    """Anything but ImageRejected would be an HTTP 500 of the service."""
    data = bytearray(FILES[kind])
    for place, value in changes:
        data[place] = value
    try:
        pixels = preprocess(bytes(data[:kept]) + tail, ImageSpec(max_megapixels=1))
    except ImageRejected as refusal:
        assert refusal.code and str(refusal)
    else:
        assert pixels.shape == (128, 128)
        assert pixels.dtype == np.uint8


FILES = {kind: encoded(PICTURE, kind) for kind in ("PNG", "JPEG", "TIFF", "PPM")}
