"""DICOM mammograms: the very pixels of every syntax, shown as the header says, and nothing told."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from ml_tasks.dataset.examination import examine
from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.decode import decode
from ml_tasks.imaging.dicom import patient_pseudonym, read_dicom
from ml_tasks.imaging.dicom_pixels import stored_values
from ml_tasks.imaging.spec import ImageSpec
from tests.builders import film
from tests.counts import cases
from tests.imaging.dicom_files import (
    BIG,
    JPEG,
    LOSSLESS,
    RLE,
    dicom_bytes,
    encapsulated,
    planted_dicom,
)

EXTENDED, NEAR_LOSSLESS, LOSSY_2000 = (f"1.2.840.10008.1.2.4.{number}" for number in (51, 81, 91))
SPEC = ImageSpec()
GREY = film(3, lesion=True)


def deep(bits: int = 12) -> NDArray[np.uint16]:
    noise = np.random.default_rng(1).integers(0, 1 << (bits - 8), GREY.shape)
    return ((GREY.astype(np.uint16) << (bits - 8)) + noise).astype(np.uint16)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_every_lossless_syntax_gives_the_very_values(syntax: str) -> None:
    values = deep()
    found = stored_values(read_dicom(dicom_bytes(values, syntax)))
    assert np.array_equal(found, values)


@pytest.mark.parametrize("syntax", [*LOSSLESS, JPEG])
def test_eight_bits_are_read_too(syntax: str) -> None:
    image = decode(dicom_bytes(GREY, syntax, WindowCenter=128, WindowWidth=256), SPEC)
    assert (image.format, image.bit_depth) == ("DICOM", 8)
    assert np.abs(image.pixels.astype(int) - GREY).mean() < (3 if syntax == JPEG else 0.6)


def test_without_a_window_it_is_stretched_like_a_deep_png() -> None:
    image = decode(dicom_bytes(deep()), SPEC)
    low, high = GREY.min(), np.percentile(GREY, 99.9)
    expected = np.clip((GREY - float(low)) * 255 / (high - low), 0, 255)
    assert np.abs(image.pixels - expected).mean() < 1.5
    assert (image.mode, image.bit_depth) == ("MONOCHROME2", 12)


@pytest.mark.parametrize(
    ("elements", "level", "expected"),
    [
        # PS3.3 C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5) * 255
        ({"WindowCenter": 1000, "WindowWidth": 1001}, 1000, 0.5005 * 255),
        ({"WindowCenter": 1000, "WindowWidth": 1001}, 500, 0),
        ({"WindowCenter": 1000, "WindowWidth": 1001}, 1750, 0.7505 * 0 + 255),
        ({"WindowCenter": [1000, 5], "WindowWidth": [2001, 5]}, 1500, 0.75025 * 255),
        (
            {"WindowCenter": 1000, "WindowWidth": 1000, "VOILUTFunction": "LINEAR_EXACT"},
            1250,
            0.75 * 255,
        ),
        (
            {"WindowCenter": 1000, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"},
            1250,
            255 / (1 + np.exp(-1)),
        ),
        (
            {
                "WindowCenter": 0,
                "WindowWidth": 1001,
                "RescaleSlope": 2,
                "RescaleIntercept": -2000,
            },
            1000,
            0.5005 * 255,
        ),
    ],
)
def test_a_window_shows_what_the_standard_says(
    elements: dict[str, Any], level: int, expected: float
) -> None:
    values = np.full((200, 160), level, np.uint16)
    values[0, 0] = level + 1  # else it is one flat picture; it stays within half a grey level
    shown = decode(dicom_bytes(values, **elements), SPEC).pixels
    assert float(np.median(shown)) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("bits", [8, 12])
def test_a_voi_lut_goes_before_the_window(bits: int) -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, bits]
    falling = (4095 - np.arange(4096)) >> (12 - bits)
    table.LUTData = falling.astype(np.uint8 if bits == 8 else "<u2").tobytes()
    data = dicom_bytes(deep(), VOILUTSequence=Sequence([table]), WindowCenter=1, WindowWidth=2)
    shown = decode(data, SPEC).pixels
    assert np.abs(shown.astype(int) - (255 - GREY.astype(int))).mean() < 1.5


def table(values: NDArray[Any], bits: int, first: int = 0, order: str = "<") -> Sequence:
    """A LUT of 16-bit entries."""
    made = Dataset()
    made.LUTDescriptor = [len(values), first, bits]
    made.LUTData = values.astype(f"{order}u2").tobytes()
    made.ModalityLUTType = "US"
    return Sequence([made])


RISING = np.arange(4096)
MONO1: dict[str, Any] = {"PhotometricInterpretation": "MONOCHROME1"}
WINDOW: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}
FALLING: dict[str, Any] = {"RescaleSlope": -1, "RescaleIntercept": 4095}


@pytest.mark.parametrize(
    ("turned", "plain"),
    [
        (MONO1, {}),
        (MONO1 | WINDOW, WINDOW),
        (MONO1 | {"VOILUTSequence": table(RISING, 12)}, WINDOW),
        (FALLING, {}),
        (FALLING | WINDOW, WINDOW),
        ({"ModalityLUTSequence": table(4095 - RISING, 12)}, {}),
        ({"ModalityLUTSequence": table(4095 - RISING, 12)} | WINDOW, WINDOW),
        ({"VOILUTSequence": table(4095 - RISING, 12)}, WINDOW),
    ],
)
def test_stored_negatives_are_turned(turned: dict[str, Any], plain: dict[str, Any]) -> None:
    """By MONOCHROME1, a falling slope or a falling table: the same film comes of it."""
    values = (4095 - deep()).astype(np.uint16)
    found = decode(dicom_bytes(values, **turned), SPEC).pixels
    assert np.abs(found.astype(int) - decode(dicom_bytes(deep(), **plain), SPEC).pixels).max() <= 1
    finished = preprocess(dicom_bytes(values, **turned), SPEC)
    assert np.abs(finished.astype(int) - preprocess(dicom_bytes(deep(), **plain), SPEC)).max() <= 2


def test_two_turns_are_none() -> None:
    found = decode(dicom_bytes(deep(), **MONO1, **FALLING, **WINDOW), SPEC).pixels
    expected = decode(dicom_bytes(deep(), **WINDOW), SPEC).pixels
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("elements", [{}, MONO1])
@pytest.mark.parametrize("dead", [0, 4095])
def test_a_dead_pixel_does_not_set_the_range(elements: dict[str, Any], dead: int) -> None:
    values = deep() // 4 + 1000
    broken = values.copy()
    broken[3, 150] = dead
    found = decode(dicom_bytes(broken, **elements), SPEC).pixels.astype(int)
    found[3, 150] = decode(dicom_bytes(values, **elements), SPEC).pixels[3, 150]
    expected = decode(dicom_bytes(values, **elements), SPEC).pixels
    assert np.abs(found - expected).max() <= 2


def test_a_table_is_read_in_the_files_own_order_of_bytes() -> None:
    found = decode(dicom_bytes(deep(), BIG, VOILUTSequence=table(RISING, 12, order=">")), SPEC)
    expected = decode(dicom_bytes(deep(), VOILUTSequence=table(RISING, 12)), SPEC)
    assert np.array_equal(found.pixels, expected.pixels)


def test_a_table_for_signed_pixels_begins_below_zero() -> None:
    values = deep().astype(np.int16) - np.int16(100)
    found = decode(
        dicom_bytes(
            values, BitsStored=16, HighBit=15, VOILUTSequence=table(RISING, 12, first=-100)
        ),
        SPEC,
    )
    expected = decode(dicom_bytes(deep(), **WINDOW), SPEC)
    assert np.abs(found.pixels.astype(int) - expected.pixels).max() <= 1


@pytest.mark.parametrize(
    ("syntax", "encode", "most"),
    [
        (JPEG, lambda v: imagecodecs.jpeg8_encode((v >> 4).astype(np.uint8), level=95), 24),
        (EXTENDED, lambda v: imagecodecs.jpeg8_encode(v, level=95, bitspersample=12), 24),
        (NEAR_LOSSLESS, lambda v: imagecodecs.jpegls_encode(v, level=8), 8),
        (
            LOSSY_2000,
            lambda v: imagecodecs.jpeg2k_encode(v, codecformat="j2k", level=60, bitspersample=12),
            24,
        ),
    ],
)
def test_lossy_syntaxes_give_nearly_the_values(
    syntax: str, encode: Callable[[NDArray[np.uint16]], bytes], most: int
) -> None:
    values = deep()
    bits = 8 if syntax == JPEG else 16
    file = read_dicom(encapsulated(bytes(encode(values)), syntax, 200, 160, bits))
    found = stored_values(file).astype(int) << (4 if bits == 8 else 0)
    assert found.shape == values.shape
    assert 0 < np.abs(found - values).mean() < most
    assert np.array_equal(decode(file.data, SPEC).pixels.shape, values.shape)


def test_jpeg_2000_is_halved_on_the_way_and_stays_the_picture() -> None:
    """A quarter of the time; near enough to a mean of four that the finished film is the same."""
    random = np.random.default_rng(0)
    large = cv2.resize(deep(), (1280, 1600), interpolation=cv2.INTER_CUBIC).astype(int)
    values = np.clip(large + random.normal(0, 48, large.shape), 0, 4095).astype(np.uint16)
    plain, halved = dicom_bytes(values, **WINDOW), dicom_bytes(values, LOSSLESS[-1], **WINDOW)
    assert stored_values(read_dicom(halved), 2).shape == (800, 640)
    assert np.array_equal(stored_values(read_dicom(halved)), values)
    finished = preprocess(halved, SPEC).astype(int)
    assert np.abs(finished - preprocess(plain, SPEC)).mean() <= 0.5


@pytest.mark.parametrize("syntax", [LOSSLESS[0], LOSSLESS[-1]])
def test_signed_padding_below_the_picture_is_background(syntax: str) -> None:
    """It would set the range of grey levels, and all tissue would be white."""
    values = deep().astype(np.int16) - np.int16(1000)
    padded = values.copy()
    padded[:, 120:] = -2000
    found = decode(dicom_bytes(padded, syntax, PixelPaddingValue=-2000), SPEC).pixels.astype(int)
    expected = decode(dicom_bytes(values, syntax), SPEC).pixels
    assert found[:, 120:].max() == 0
    assert np.abs(found - expected)[:, :120].max() <= 2


def test_threads_leave_the_filters_of_warnings_alone() -> None:
    """They belong to the process; restored in the wrong order, all warnings would stay off."""
    data, before = dicom_bytes(deep(), **WINDOW), list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: decode(data, SPEC), range(cases(200, 2000))))
    assert list(warnings.filters) == before


def test_signed_pixels_and_bits_that_are_not_the_pixels_own() -> None:
    signed = deep().astype(np.int16) - 2048
    assert np.array_equal(stored_values(read_dicom(dicom_bytes(signed))), signed)
    overlaid = (deep() | np.uint16(0x8000)).astype(np.uint16)
    assert np.array_equal(stored_values(read_dicom(dicom_bytes(overlaid))), deep())
    high = (deep() << 4).astype(np.uint16)
    found = stored_values(read_dicom(dicom_bytes(high, HighBit=15)))
    assert np.array_equal(found, deep())


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_becomes_background(photometric: str) -> None:
    """White padding around a breast would be taken for a frame, or for the breast."""
    values = deep()
    padded = values.copy()
    padded[:, 120:] = 4095 if photometric == "MONOCHROME2" else 0
    data = dicom_bytes(
        padded,
        PhotometricInterpretation=photometric,
        PixelPaddingValue=int(padded[0, 159]),
    )
    shown = decode(data, SPEC).pixels
    assert shown[:, 125:].max() <= 1


@pytest.mark.parametrize(
    ("elements", "says"),
    [
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "is in colour"),
        ({"NumberOfFrames": 5}, "holds several pictures"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "neither 8 nor 16 bits"),
        ({"Rows": 30000, "Columns": 30000}, "the header claims 30000x30000 pixels"),
        ({"Rows": 400}, "damaged or cut off"),
        ({"Rows": None}, "damaged or cut off"),
        ({"BitsStored": 0}, "damaged or cut off"),
    ],
)
def test_what_is_no_grey_picture_is_refused(elements: dict[str, Any], says: str) -> None:
    with pytest.raises(ImageRejected, match=says):
        decode(dicom_bytes(deep(), **elements), SPEC)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_a_cut_file_is_refused(syntax: str) -> None:
    data = dicom_bytes(deep(), syntax)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(ImageRejected):
            decode(data[: int(len(data) * share)], SPEC)


def test_an_unknown_or_deflated_syntax_is_refused() -> None:
    data = dicom_bytes(deep())
    for other in (b"1.2.840.10008.1.2.7\x00", b"1.2.840.10008.1.2.1.99"):
        old = b"UI\x14\x001.2.840.10008.1.2.1\x00"
        assert old in data
        new = b"UI" + len(other).to_bytes(2, "little") + other
        with pytest.raises(ImageRejected):
            decode(data.replace(old, new, 1), SPEC)


def test_the_header_is_told_in_known_words() -> None:
    data = dicom_bytes(
        deep(),
        ViewPosition="mlo",
        ImageLaterality="L",
        Manufacturer="HOLOGIC, Inc.",
        BodyPartExamined="BREAST",
        BreastImplantPresent="NO",
        BurnedInAnnotation="YES",
    )
    header = decode(data, SPEC).header
    assert (header.view, header.laterality, header.manufacturer) == ("MLO", "L", "hologic")
    assert (header.body_part, header.implant, header.burned_in_annotation) == (
        "BREAST",
        False,
        True,
    )


def test_a_patient_is_a_keyed_pseudonym() -> None:
    one = dicom_bytes(deep(), PatientID="4711")
    same = dicom_bytes(GREY, RLE, PatientID="4711 ")
    other = dicom_bytes(deep(), PatientID="4712")
    found = patient_pseudonym(one, b"key")
    assert found == patient_pseudonym(same, b"key")
    assert found is not None and found.startswith("p-") and "4711" not in found
    assert found != patient_pseudonym(other, b"key")
    assert found != patient_pseudonym(one, b"another key")
    assert patient_pseudonym(dicom_bytes(deep()), b"key") is None
    assert patient_pseudonym(b"no dicom", b"key") is None


def test_no_string_of_a_header_gets_out(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A name in a log or manifest is a patient's name in a log or manifest."""
    caplog.set_level(logging.DEBUG)
    data, planted = planted_dicom(deep())
    strings = [text for text in planted if text.startswith("PLANT")]
    assert len(strings) > 1500 and all(text.encode() in data for text in strings)
    told = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for end in (len(data), len(data) // 2, 20000, 400):
            for damaged in (data[:end], data[:end].replace(b"LO", b"DS"), data[:end] + data):
                examined = examine(damaged, SPEC, b"key")
                told.append(repr(examined.facts))
                try:
                    told.append(repr(decode(damaged, SPEC)))
                except ImageRejected as rejected:
                    told.append(f"{rejected!r} {rejected.__cause__!r} {rejected.__context__!r}")
    printed = capfd.readouterr()
    text = "\n".join(
        [*told, caplog.text, printed.out, printed.err, *(str(w.message) for w in warned)]
    )
    assert "format='DICOM'" in text
    leaked = [string for string in planted if string in text]
    assert leaked == []
