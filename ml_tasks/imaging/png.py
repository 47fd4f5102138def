"""PNG files of grey pixels: every chunk's checksum first, then libpng.

A cut or damaged file is so refused with the place of the damage, before memory is taken for its
pixels.
"""

from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.limits import check_size
from ml_tasks.imaging.spec import ImageSpec

_MAGIC = b"\x89PNG\r\n\x1a\n"
_GREY = (b"\x08\x00", b"\x10\x00")  # 8 or 16 bits, no colour
_HEAD, _AROUND = 8, 12  # bytes of the signature; of a chunk's length, name and CRC
_TRANSPARENT, _ANIMATED, _PIXELS, _END = b"tRNS", b"acTL", b"IDAT", b"IEND"
_REMEDY = "copy or export it again"
_MOST_CHUNKS = 200_000  # a film of 50 megapixels in chunks of 8 kB has 13,000


def is_grey_png(data: bytes) -> bool:
    """Whether the bytes begin like a PNG file of grey pixels with 8 or 16 bits."""
    return data[:8] == _MAGIC and data[24:26] in _GREY


def decode_png(data: bytes, spec: ImageSpec) -> NDArray[Any]:
    """Grey pixels (H,W), uint8 or uint16 as stored.

    Raises:
        ImageRejected: `too_large`, `too_small`, `unsupported` or `unreadable`.
    """
    width, height = struct.unpack_from(">II", data, 16)
    check_size(width, height, spec)
    names, end = _checked_chunks(data)
    if _TRANSPARENT in names:
        raise ImageRejected("unsupported", "a PNG with transparency is not read; use plain grey")
    if _ANIMATED in names:
        raise ImageRejected("unsupported", "the file holds several pictures; save one in each file")
    if _PIXELS not in names:
        raise ImageRejected("unreadable", f"the file is damaged: it holds no pixels; {_REMEDY}")
    # With a length of its own, no other chunk than those that were looked at is read.
    return _unpacked(memoryview(data)[:end], (height, width), data[24] // 8)


def _unpacked(file: memoryview, shape: tuple[int, int], bytes_each: int) -> NDArray[Any]:
    values = np.empty(shape, np.uint8 if bytes_each == 1 else np.uint16)
    try:
        imagecodecs.png_decode(file, out=values)  # type: ignore[arg-type]
    except Exception as error:
        # The decoder never lets go of what it was given when it fails: without its memory, that
        # is a hundred bytes for each damaged file.
        values.resize((0, 0), refcheck=False)
        raise ImageRejected(
            "unreadable",
            f"the file is damaged: its pixels cannot be unpacked ({error}); {_REMEDY}",
        ) from error
    return values


def _checked_chunks(data: bytes) -> tuple[set[bytes], int]:
    """The names of all chunks, each with the checksum that it states, and where the last ends."""
    names, place, view = set(), _HEAD, memoryview(data)
    for _ in range(_MOST_CHUNKS):
        length = int.from_bytes(data[place : place + 4], "big")
        name, end = data[place + 4 : place + 8], place + _AROUND + length
        if end > len(data):
            raise ImageRejected(
                "unreadable", f"the file is cut off after {len(data):,} bytes; {_REMEDY}"
            )
        (stated,) = struct.unpack_from(">I", data, end - 4)
        found = imagecodecs.deflate_crc32(view[place + 4 : end - 4])  # type: ignore[arg-type]
        if found != stated:
            raise ImageRejected(
                "unreadable",
                f"the file is damaged at byte {place:,}: a checksum differs; {_REMEDY}",
            )
        names.add(name)
        if name == _END:
            return names, end
        place = end
    raise ImageRejected("unsupported", f"the PNG has over {_MOST_CHUNKS:,} chunks; save it anew")
