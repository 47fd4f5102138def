"""The picture of a DICOM file: stored values, and how PS3.3 C.11 has them shown.

Decoders: imagecodecs (BSD-3, around CharLS, OpenJPEG, libjpeg-turbo and liblj92; none of them GPL).
Modality LUT or slope come first, then a VOI LUT, else the first window; where there is neither, the
film is stretched like any deep picture. All is applied after the film was reduced: averages of
linear values are the same, and it is a hundred times less work.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Literal

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_modality_lut

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.dicom import DicomFile, typed_rejections, word_of

Values = NDArray[Any]

_IMPLICIT = "1.2.840.10008.1.2"
_IMPLICIT_HEAD, _EXPLICIT_HEAD = 8, 12  # bytes of the pixel element before its value
_PLAIN: dict[str, Literal["<", ">"]] = {
    _IMPLICIT: "<",
    "1.2.840.10008.1.2.1": "<",
    "1.2.840.10008.1.2.2": ">",
}


def _jpegls(frame: bytes) -> Any:
    """JPEG-LS; CharLS would count for seconds in a stream that ends without its end marker."""
    if not frame.rstrip(b"\0").endswith(_END_OF_IMAGE):
        raise ValueError("cut off")
    return imagecodecs.jpegls_decode(frame)


_END_OF_IMAGE = b"\xff\xd9"
_RLE = "1.2.840.10008.1.2.5"
_COMPRESSED: dict[str, Callable[[bytes], Any]] = {
    "1.2.840.10008.1.2.4.50": imagecodecs.jpeg8_decode,
    "1.2.840.10008.1.2.4.57": imagecodecs.ljpeg_decode,
    "1.2.840.10008.1.2.4.70": imagecodecs.ljpeg_decode,
    "1.2.840.10008.1.2.4.80": _jpegls,
    "1.2.840.10008.1.2.4.81": _jpegls,
    "1.2.840.10008.1.2.4.90": imagecodecs.jpeg2k_decode,
    "1.2.840.10008.1.2.4.91": imagecodecs.jpeg2k_decode,
}


def stored_values(file: DicomFile) -> Values:
    """The stored values (H,W) of the picture, integers of 8 or 16 bits, padding made background.

    Raises:
        ImageRejected: `unreadable`, or `unsupported` for an unknown transfer syntax.
    """
    with typed_rejections():
        return _without_padding(_own_bits(_decoded(file), file.dataset), file.dataset)


def shown_values(values: Values, dataset: pydicom.Dataset) -> NDArray[np.float32] | None:
    """Stored values (any shape) as they are to be shown, 0 to 1; None: no window, no VOI LUT.

    Raises:
        ImageRejected: `unreadable`.
    """
    with typed_rejections():
        shown = _presented(values, dataset)
    if shown is None or not np.isfinite(shown).all():
        return None
    return np.clip(shown, 0, 1).astype(np.float32)


def _decoded(file: DicomFile) -> Values:
    dataset = file.dataset
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    shape = (int(dataset.Rows), int(dataset.Columns))
    if dataset.BitsAllocated not in (8, 16):
        raise ImageRejected("unsupported", "the DICOM file has neither 8 nor 16 bits a pixel")
    kind = np.dtype(np.uint8 if dataset.BitsAllocated == 8 else np.uint16)
    if syntax in _PLAIN:
        return _plain(file, kind.newbyteorder(_PLAIN[syntax]), shape, explicit=syntax != _IMPLICIT)
    if syntax != _RLE and syntax not in _COMPRESSED:
        raise ImageRejected(
            "unsupported", "the DICOM file's transfer syntax is not read; save it uncompressed"
        )
    encapsulated = io.BytesIO(file.data)
    encapsulated.seek(file.pixels_at + _EXPLICIT_HEAD)
    frame = get_frame(encapsulated, 0, number_of_frames=1)
    if syntax == _RLE:
        plain = imagecodecs.dicomrle_decode(frame, kind)
        return np.frombuffer(plain, kind, shape[0] * shape[1]).reshape(shape)
    values = np.asarray(_COMPRESSED[syntax](frame))
    if values.shape != shape or values.dtype.kind not in "iu" or values.dtype.itemsize > 2:
        raise ValueError("not the picture that the header describes")
    return values


def _plain(file: DicomFile, kind: np.dtype[Any], shape: tuple[int, int], explicit: bool) -> Values:
    """Uncompressed values in place: a film has tens of megabytes, and copying costs as much as all.

    The element (PS3.5 7.1): tag, in the explicit forms its type and two spare bytes, length, value.
    """
    start = file.pixels_at + (_EXPLICIT_HEAD if explicit else _IMPLICIT_HEAD)
    order: Literal["little", "big"] = "big" if kind.byteorder == ">" else "little"
    length = int.from_bytes(file.data[start - 4 : start], order)
    count = shape[0] * shape[1]
    if length < count * kind.itemsize:
        raise ValueError("fewer pixels than the header describes")
    values: Values = np.frombuffer(file.data, kind, count, start).reshape(shape)
    return values if kind.isnative else values.astype(kind.newbyteorder("="))


def _own_bits(values: Values, dataset: pydicom.Dataset) -> Values:
    """Only the bits that belong to the pixel, as signed numbers where they are."""
    stored, allocated = int(dataset.BitsStored), 8 * values.dtype.itemsize
    signed = dataset.get("PixelRepresentation", 0) == 1
    low = int(dataset.get("HighBit", stored - 1)) + 1 - stored
    if low < 0 or not 0 < stored <= allocated:
        raise ValueError("not the picture that the header describes")
    if low == 0 and not signed and int(values.max()) < 1 << stored:
        return values
    plain = values.view(f"u{values.dtype.itemsize}") if values.dtype.kind == "i" else values
    up = allocated - stored - low
    kind = np.dtype(f"{'i' if signed else 'u'}{values.dtype.itemsize}")
    return (plain << up).view(kind) >> (up + low)


def _without_padding(values: Values, dataset: pydicom.Dataset) -> Values:
    """Values whose padding is as dark as the darkest pixel of the picture itself."""
    padding = dataset.get("PixelPaddingValue")
    if padding is None or padding == "":
        return values
    padding = int(padding)
    bright_is_low = dataset.PhotometricInterpretation == "MONOCHROME1"
    end = int(values.max() if bright_is_low else values.min())
    if padding == end:
        return values
    outside = values == padding
    return np.where(outside, np.asarray(end, values.dtype), values) if outside.any() else values


def _presented(values: Values, dataset: pydicom.Dataset) -> NDArray[np.float64] | None:
    real = np.asarray(apply_modality_lut(values, dataset), np.float64)
    if dataset.get("VOILUTSequence"):
        return _looked_up(real, dataset.VOILUTSequence[0])
    center, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if center is None or width is None or width < 1:
        return None
    function = word_of(dataset, "VOILUTFunction") or "LINEAR"
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (real - center) / width))
    if function == "LINEAR_EXACT" or width == 1:
        return (real - center) / width + 0.5
    return (real - (center - 0.5)) / (width - 1) + 0.5


def _looked_up(real: NDArray[np.float64], table: pydicom.Dataset) -> NDArray[np.float64]:
    """Values through a VOI LUT (PS3.3 C.11.2.1.1), 0 to 1; beyond its ends the ends count.

    Not pydicom's own, which refuses tables of 8-bit entries that are packed as bytes.
    """
    count, first, bits = (int(value) for value in table.LUTDescriptor)
    entries = table.LUTData
    count = count or 1 << 16
    if isinstance(entries, bytes):
        entries = np.frombuffer(entries, np.uint8 if len(entries) <= count + 1 else "<u2")
    levels = np.asarray(entries, np.float64)[:count]
    places = np.clip(np.rint(real).astype(np.int64) - first, 0, len(levels) - 1)
    return np.asarray(levels[places] / ((1 << bits) - 1), np.float64)


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return float(value)
    return float(value[0]) if len(value) else None
