"""Damage that makes a file ask for more than it holds: sizes inside it, runs, tables, pictures."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from numpy.random import Generator

_SIDES = (1, 100, 255, 4096, 7000, 20_000, 60_000, 65_535)
_FRAME = re.compile(rb"\xff[\xc0-\xc3\xf7]\x00[\x08-\x20]", re.DOTALL)  # and a short length
_SIZ, _COD = b"\xff\x4f\xff\x51", b"\xff\x52\x00\x0c"
_FRAGMENT, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


def enlarged(kind: str, data: bytes, random: Generator) -> bytes:
    """A file of a format, changed in one such way; as it is where none fits."""
    ways = _WAYS[kind]
    return ways[int(random.integers(len(ways)))](data, random)


def _side(random: Generator) -> int:
    return int(random.choice(_SIDES))


def _jpeg_size(data: bytes, random: Generator) -> bytes:
    """Height and width of one frame of a JPEG or JPEG-LS stream, wherever it lies."""
    frames = [found.start() for found in _FRAME.finditer(data)]
    if not frames:
        return data
    at = frames[int(random.integers(len(frames)))] + 5
    return data[:at] + struct.pack(">HH", _side(random), _side(random)) + data[at + 4 :]


def _second_frame(data: bytes, random: Generator) -> bytes:
    found = _FRAME.search(data)
    if found is None:
        return data
    start = found.start()
    end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data[:end] + _jpeg_size(data[start:end], random) + data[end:]


def _jpeg_2000_size(data: bytes, random: Generator) -> bytes:
    """Size of the picture, of its tiles, or of both, in a JPEG 2000 stream."""
    at = data.find(_SIZ)
    if at < 0:
        return data
    size = struct.pack(">II", _side(random), _side(random))
    changed = bytearray(data)
    for place in ((8,), (24,), (8, 24))[int(random.integers(3))]:
        changed[at + place : at + place + 8] = size
    return bytes(changed)


def _jpeg_2000_coding(data: bytes, random: Generator) -> bytes:
    """Layers, halvings, sizes of blocks or a flag in the coding style of a JPEG 2000 stream."""
    at = data.find(_COD)
    if at < 0:
        return data
    changed = bytearray(data)
    changed[at + 4 + int(random.integers(10))] = int(random.choice((0, 1, 2, 8, 32, 255)))
    return bytes(changed)


def _stretched_runs(data: bytes, random: Generator) -> bytes:
    """Runs of RLE, 128 pixels each, added to the last fragment of a DICOM file."""
    at, end = data.find(_FRAGMENT, data.find(_FRAGMENT) + 1), data.rfind(_DELIMITER)
    if at < 0 or end < at:
        return data
    runs = b"\x81\xff" * int(random.choice((10, 1000, 100_000, 2_000_000)))
    length = struct.pack("<I", end - at - 8 + len(runs))
    return data[: at + 4] + length + data[at + 8 : end] + runs + data[end:]


def _fragments(data: bytes, random: Generator) -> bytes:
    end = data.rfind(_DELIMITER)
    more = (_FRAGMENT + bytes(4)) * int(random.choice((1, 100, 10_000, 500_000)))
    return data if end < 0 else data[:end] + more + data[end:]


def _first_directory(data: bytes) -> tuple[str, int, int] | None:
    """Byte order, place and number of entries of a TIFF's first directory; None without one."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
    except struct.error:
        return None
    return order, start, count


def _directories(data: bytes, random: Generator) -> bytes:
    """A TIFF's first directory over and over, each naming the next."""
    found = _first_directory(data)
    if found is None:
        return data
    order, start, count = found
    body = data[start : start + 2 + 12 * count]
    times, size = int(random.choice((1, 10, 1000, 20_000))), len(body) + 4
    if size * times > 8_000_000:
        return data
    first = len(data)
    chain = b"".join(
        body + struct.pack(f"{order}I", (first + (number + 1) * size) % (1 << 32))
        for number in range(times)
    )
    link = start + len(body)
    return data[:link] + struct.pack(f"{order}I", first) + data[link + 4 :] + chain


def _tiff_number(data: bytes, random: Generator) -> bytes:
    """Kind, count or value of one entry of a TIFF's first directory."""
    found = _first_directory(data)
    if found is None:
        return data
    order, start, count = found
    at = start + 2 + 12 * int(random.integers(max(1, count))) + int(random.choice((4, 8)))
    value = int(random.choice((*_SIDES, 1_000_000, 2**31 - 1)))
    return data[:at] + struct.pack(f"{order}I", value) + data[at + 4 :]


def _png_size(data: bytes, random: Generator) -> bytes:
    return data[:16] + struct.pack(">II", _side(random), _side(random)) + data[24:]


def _pgm_size(data: bytes, random: Generator) -> bytes:
    head = b"P%d %d %d %d\n" % (
        random.choice((2, 5)),
        _side(random),
        _side(random),
        random.choice((1, 254, 255, 4095, 65_535)),
    )
    return head + data[15:]


Way = Callable[[bytes, Generator], bytes]
_WAYS: dict[str, tuple[Way, ...]] = {
    "PNG": (_png_size,),
    "JPEG": (_jpeg_size, _second_frame),
    "TIFF": (_directories, _tiff_number, _jpeg_size),
    "PGM": (_pgm_size,),
    "DICOM": (
        _jpeg_size,
        _second_frame,
        _jpeg_2000_size,
        _jpeg_2000_coding,
        _stretched_runs,
        _fragments,
    ),
}
