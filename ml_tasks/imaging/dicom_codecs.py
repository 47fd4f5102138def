"""The stored pixels of a DICOM file, out of whatever its transfer syntax packs them in.

Decoders: imagecodecs (BSD-3, around CharLS, libjpeg-turbo and liblj92) and Pillow's OpenJPEG (MIT
and BSD-2), none of them GPL. A picture inside the file is decoded only if its own codestream
describes the picture that the header describes, and into memory of exactly that size.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Literal

import imagecodecs
import numpy as np
from PIL import Image

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.codestream import (
    JPEG_LS,
    LOSSLESS,
    SEQUENTIAL,
    Codestream,
    Stream,
    jpeg2000_codestream,
    jpeg_codestream,
)
from ml_tasks.imaging.dicom import DicomFile, PixelDescription
from ml_tasks.imaging.grey_levels import Values

_IMPLICIT = "1.2.840.10008.1.2"
_PLAIN = (_IMPLICIT, "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_IMPLICIT_HEAD, _EXPLICIT_HEAD = 8, 12  # bytes of the pixel element before its value
_RLE = "1.2.840.10008.1.2.5"
_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")

_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_MOST_FRAGMENTS = 20_000
_END_OF_IMAGE = b"\xff\xd9"
_CODESTREAM = b"\xff\x4f\xff\x51"
_LONGEST_BOXES = 4096  # bytes before the codestream
_WHOLE_MEGAPIXELS = 30  # of JPEG 2000 decoded at its full size, which takes 8 bytes a pixel


def decoded(file: DicomFile, factor: int) -> tuple[Values, int]:
    """Values as the decoder gives them, and 2 where their sides are halved (rounded up), else 1.

    They are halved only where `factor`, by which the caller reduces them, is at least 2.

    Raises:
        ImageRejected: `unsupported` or `too_large`.
        Exception: whatever a decoder raises on a damaged file.
    """
    told = file.told
    if told.bits_allocated not in (8, 16):
        raise ImageRejected("unsupported", "the DICOM file has neither 8 nor 16 bits a pixel")
    if told.syntax in _PLAIN:
        return _plain(file), 1
    if told.syntax in _JPEG_2000:
        return _jpeg2000(_frame(file), told, factor)
    if told.syntax not in _WHOLE:
        raise ImageRejected(
            "unsupported", "the DICOM file's transfer syntax is not read; save it uncompressed"
        )
    return _WHOLE[told.syntax](_frame(file), told), 1


def _plain(file: DicomFile) -> Values:
    """Uncompressed values in place: a film has tens of megabytes, and copying costs as much as all.

    The element (PS3.5 7.1): tag, in the explicit forms its type and two spare bytes, length, value.
    """
    told = file.told
    head = _IMPLICIT_HEAD if told.syntax == _IMPLICIT else _EXPLICIT_HEAD
    start, kind = file.pixels_at + head, _kind(told).newbyteorder(file.byte_order)
    order: Literal["little", "big"] = "big" if file.byte_order == ">" else "little"
    length = int.from_bytes(file.data[start - 4 : start], order)
    count = told.rows * told.columns
    if length < count * kind.itemsize:
        raise ValueError("fewer pixels than the header describes")
    return np.frombuffer(file.data, kind, count, start).reshape(told.rows, told.columns)


def _kind(told: PixelDescription) -> np.dtype[Any]:
    return np.dtype(np.uint8 if told.bits_allocated == 8 else np.uint16)


def _frame(file: DicomFile) -> Stream:
    """The compressed picture: all fragments but the first, which is a table (PS3.5 A.4)."""
    data, place = memoryview(file.data), file.pixels_at + _EXPLICIT_HEAD
    fragments: list[Stream] = []
    for _ in range(_MOST_FRAGMENTS):
        tag, length = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8
        if tag != _ITEM:
            break
        if place + length > len(data):
            raise ValueError("cut off")
        fragments.append(data[place : place + length])
        place += length
    if tag != _DELIMITER or len(fragments) < 2:
        raise ValueError("no delimited fragments")
    return fragments[1] if len(fragments) == 2 else b"".join(fragments[1:])


def _rle(frame: Stream, told: PixelDescription) -> Values:
    """The decoder refuses what would not fit: runs can stretch to 64 times the file."""
    kind = _kind(told)
    values = np.zeros(told.rows * told.columns * kind.itemsize, np.uint8)
    filled = imagecodecs.dicomrle_decode(frame, kind, out=values)  # type: ignore[arg-type]
    if len(filled) < len(values):
        raise ValueError("fewer pixels than the header describes")
    return values.view(kind).reshape(told.rows, told.columns)


def _jpeg(
    processes: tuple[int, ...], decoder: Callable[..., Any]
) -> Callable[[Stream, PixelDescription], Values]:
    def whole(frame: Stream, told: PixelDescription) -> Values:
        stream = jpeg_codestream(frame)
        if stream.process not in processes:
            raise ValueError("not the process of the transfer syntax")
        _check_picture(stream, told)
        kind = np.uint8 if stream.bits <= 8 else np.uint16
        return np.asarray(decoder(frame, out=np.zeros((told.rows, told.columns), kind)))

    return whole


def _check_picture(stream: Codestream, told: PixelDescription) -> None:
    if (stream.height, stream.width, stream.components) != (told.rows, told.columns, 1):
        raise ValueError("not the picture that the header describes")
    if not 1 <= stream.bits <= told.bits_allocated:
        raise ValueError("not the bits that the header describes")


def _jpegls(frame: Stream, out: Values) -> Values:
    """JPEG-LS; CharLS would count for seconds in a stream that ends without its end marker."""
    if not bytes(frame[-64:]).rstrip(b"\0").endswith(_END_OF_IMAGE):
        raise ValueError("cut off")
    return np.asarray(imagecodecs.jpegls_decode(frame, out=out))  # type: ignore[arg-type]


def _jpeg2000(frame: Stream, told: PixelDescription, factor: int) -> tuple[Values, int]:
    """Values, halved while they are decoded where that is possible: a quarter of time and memory.

    Half the size is as near to a mean as half a pixel of the file; padding, though, would mix with
    what stands beside it.
    """
    start = max(0, bytes(frame[:_LONGEST_BOXES]).find(_CODESTREAM))  # some wrap it as a JP2 file
    stream = jpeg2000_codestream(frame[start:])
    _check_picture(stream, told)
    megapixels = told.rows * told.columns / 1e6
    halved = factor > 1 and stream.halvings > 0 and told.padding is None
    if not halved and megapixels > _WHOLE_MEGAPIXELS:
        raise ImageRejected(
            "too_large",
            f"a JPEG 2000 picture of {megapixels:.1f} megapixels; without smaller sizes inside, or "
            f"with padding, at most {_WHOLE_MEGAPIXELS} are read, so save it in another syntax",
        )
    with Image.open(io.BytesIO(frame[start:]), formats=("JPEG2000",)) as image:
        image.reduce = int(halved)  # type: ignore[assignment,method-assign]
        return _unscaled(np.asarray(image), stream), 2 if halved else 1


def _unscaled(values: Values, stream: Codestream) -> Values:
    """Pillow's values (8 or 16 bits, from 0 on) as the codestream holds them."""
    plain = values >> (8 * values.dtype.itemsize - stream.bits)
    if not stream.signed:
        return plain
    centred: Values = plain - plain.dtype.type(1 << (stream.bits - 1))  # beyond zero it wraps
    return centred.view(f"i{values.dtype.itemsize}")


_WHOLE: dict[str, Callable[[Stream, PixelDescription], Values]] = {
    _RLE: _rle,
    **dict.fromkeys(_JPEG, _jpeg(SEQUENTIAL, imagecodecs.jpeg8_decode)),
    **dict.fromkeys(_JPEG_LOSSLESS, _jpeg((LOSSLESS,), imagecodecs.ljpeg_decode)),
    **dict.fromkeys(_JPEG_LS, _jpeg((JPEG_LS,), _jpegls)),
}
