"""DICOM mammograms: the very pixels of every syntax, shown as the header says, and nothing told."""

from __future__ import annotations

import logging
import warnings
from typing import Any

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
from tests.imaging.dicom_files import JPEG, LOSSLESS, RLE, dicom_bytes, planted_dicom

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


def test_monochrome1_is_turned() -> None:
    values = (4095 - deep()).astype(np.uint16)
    inverted = decode(dicom_bytes(values, PhotometricInterpretation="MONOCHROME1"), SPEC).pixels
    assert np.abs(inverted.astype(int) - decode(dicom_bytes(deep()), SPEC).pixels).mean() < 12
    finished = preprocess(dicom_bytes(values, PhotometricInterpretation="MONOCHROME1"), SPEC)
    plain = preprocess(dicom_bytes(deep()), SPEC)
    assert np.abs(finished.astype(int) - plain).mean() < 12


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
    assert len(planted) > 1000 and all(text.encode() in data for text in planted)
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
