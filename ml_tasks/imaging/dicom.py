"""Reading DICOM mammograms: of a header only what describes the picture is ever read.

By pydicom (MIT). No text that a header holds leaves this module: what is free text there is reduced
to known words, the patient id to a keyed pseudonym, and errors never quote.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pydicom

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.header import ImageHeader, is_dicom

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # it would quote header values

_DESCRIBES = [
    "ViewPosition",
    "ImageLaterality",
    "Laterality",
    "Manufacturer",
    "BodyPartExamined",
    "BreastImplantPresent",
    "BurnedInAnnotation",
]
_PIXELS = [
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
]
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_PIXEL_TAG = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")  # (7FE0,0010), in either byte order
_UNSUPPORTED = "the DICOM file {}; save it as one grey picture"
_MANUFACTURERS = (
    "agfa",
    "carestream",
    "fischer",
    "fuji",
    "ge",
    "giotto",
    "hologic",
    "ims",
    "kodak",
    "konica",
    "lorad",
    "metaltronica",
    "philips",
    "planmed",
    "sectra",
    "siemens",
)
# Filters of warnings belong to the whole process: two threads that set them aside at a time would
# leave them changed, and a warning of pydicom may quote a header.
_quiet = threading.RLock()
_VIEWS = ("CC", "MLO", "ML", "LM", "LMO", "FB", "SIO", "ISO", "XCC", "XCCL", "XCCM", "AT")


@dataclass(frozen=True)
class PixelDescription:
    """What a header says of the stored pixels."""

    rows: int
    columns: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    padding: int | None
    syntax: str  # UID of the transfer syntax

    @property
    def inverted(self) -> bool:
        """Whether low values are shown bright."""
        return self.photometric == "MONOCHROME1"


@dataclass(frozen=True)
class DicomFile:
    """A file's allow-listed elements, and where in its bytes the element of the pixels begins."""

    dataset: pydicom.Dataset
    told: PixelDescription
    data: bytes
    pixels_at: int

    @property
    def byte_order(self) -> Literal["<", ">"]:
        """How NumPy writes the order of bytes in this file."""
        return ">" if self.told.syntax == _BIG_ENDIAN else "<"


def read_dicom(data: bytes) -> DicomFile:
    """The allow-listed elements of a DICOM file; its pixels stay where they are, uncopied.

    Raises:
        ImageRejected: `unreadable`, or `unsupported` for what is no single grey picture.
    """
    if _DEFLATED in data[:2048]:  # it would be inflated in memory, whatever its size
        raise ImageRejected("unsupported", _UNSUPPORTED.format("is deflated as a whole"))
    dataset, end = _read(data, _DESCRIBES + _PIXELS)
    if data[end : end + 4] not in _PIXEL_TAG:
        raise ImageRejected("unsupported", _UNSUPPORTED.format("holds no picture"))
    with quiet_reading():
        _check_kind(dataset)
        return DicomFile(dataset, _description(dataset), data, end)


def _check_kind(dataset: pydicom.Dataset) -> None:
    if dataset.get("NumberOfFrames") not in (None, "", 0, 1):
        raise ImageRejected("unsupported", _UNSUPPORTED.format("holds several pictures"))
    if dataset.get("SamplesPerPixel", 1) != 1 or dataset.get("PhotometricInterpretation") not in (
        "MONOCHROME1",
        "MONOCHROME2",
    ):
        raise ImageRejected("unsupported", _UNSUPPORTED.format("is in colour"))


def _description(dataset: pydicom.Dataset) -> PixelDescription:
    stored, signed = int(dataset.BitsStored), dataset.get("PixelRepresentation", 0) == 1
    padding: Any = dataset.get("PixelPaddingValue")
    if padding is not None and padding != "":
        padding = int(padding)
        padding -= (1 << 16) * (signed and padding >= 1 << 15)  # written as unsigned
    return PixelDescription(
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        photometric=str(dataset.PhotometricInterpretation),
        bits_allocated=int(dataset.BitsAllocated),
        bits_stored=stored,
        high_bit=int(dataset.get("HighBit", stored - 1)),
        signed=signed,
        padding=None if padding == "" else padding,
        syntax=str(dataset.file_meta.TransferSyntaxUID),
    )


def header_of(dataset: pydicom.Dataset) -> ImageHeader:
    """The facts of an allow-listed dataset, each in known words: free text may be a name."""
    view = word_of(dataset, "ViewPosition")
    side = (word_of(dataset, "ImageLaterality") or word_of(dataset, "Laterality"))[:1]
    maker = word_of(dataset, "Manufacturer").lower()
    known = next((name for name in _MANUFACTURERS if re.search(rf"\b{name}", maker)), "other")
    body = word_of(dataset, "BodyPartExamined")
    return ImageHeader(
        view=view if view in _VIEWS else "",
        laterality=side if side in ("L", "R") else "",
        manufacturer=known if maker else "",
        body_part="" if not body else "BREAST" if body == "BREAST" else "OTHER",
        implant={"YES": True, "NO": False}.get(word_of(dataset, "BreastImplantPresent")),
        burned_in_annotation={"YES": True, "NO": False}.get(word_of(dataset, "BurnedInAnnotation")),
    )


def patient_pseudonym(data: bytes, key: bytes) -> str | None:
    """A keyed pseudonym (HMAC-SHA-256) of a DICOM file's patient id; None where there is none."""
    if not is_dicom(data) or _DEFLATED in data[:2048]:
        return None
    try:
        patient = word_of(_read(data, ["PatientID"])[0], "PatientID")
    except ImageRejected:
        return None
    return (
        f"p-{hmac.new(key, patient.encode(), hashlib.sha256).hexdigest()[:32]}" if patient else None
    )


@contextmanager
def typed_rejections() -> Iterator[None]:
    """Turns whatever a decoder raises into a rejection with a text of our own.

    Raises:
        ImageRejected: `unreadable`, or `too_large` where memory ran out.
    """
    try:
        yield
    except ImageRejected:
        raise
    except MemoryError:
        raise ImageRejected("too_large", "the image needs more memory than there is") from None
    except Exception:  # noqa: BLE001 - decoders raise nearly anything, and quote the header
        raise ImageRejected("unreadable", "the DICOM file is damaged or cut off") from None


@contextmanager
def quiet_reading() -> Iterator[None]:
    """`typed_rejections` around what reads elements: pydicom's warnings are not even made.

    One thread at a time; decoding, which takes the time, stands outside.

    Raises:
        ImageRejected: `unreadable`, or `too_large` where memory ran out.
    """
    with _quiet, typed_rejections(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read(data: bytes, tags: list[str]) -> tuple[pydicom.Dataset, int]:
    """Elements before the pixels, and the offset at which reading stopped."""
    file = io.BytesIO(data)
    with quiet_reading():
        return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags), file.tell()


def word_of(dataset: pydicom.Dataset, name: str) -> str:
    """An element as one word in capitals; empty where it is missing."""
    with quiet_reading():  # its bytes may not fit its type
        return str(dataset.get(name) or "").strip().upper()
