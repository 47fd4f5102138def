"""Damage that knows the formats: segments, lengths, sizes, checksums, and plain bytes."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Callable

from numpy.random import Generator

from tests.fuzz.enlargements import enlarged

_NUMBERS = (0, 1, 2, 7, 8, 15, 16, 127, 128, 255, 256, 4095, 7071, 32767, 32768, 65535, 65536)
_LARGE = (2**31 - 1, 2**31, 2**32 - 1)
_PNG_HEAD = 8
_MOST_CHANGES = 4
_LARGER_SHARE = 0.1  # of the changes, that ask for more than the file holds


def mutated(kind: str, data: bytes, other: bytes, random: Generator) -> bytes:
    """A file of a format with one to four changes; `other` is a second file to take parts from."""
    for _ in range(int(random.integers(1, _MOST_CHANGES + 1))):
        if random.random() < _LARGER_SHARE:
            data = enlarged(kind, data, random)
        elif random.random() < 0.6:
            data = _by_segments(kind, data, other, random)
        else:
            change = _PLAIN[int(random.integers(len(_PLAIN)))]
            data = change(data, random)
    if kind == "PNG" and random.random() < 0.8:
        data = with_checksums(data)  # else libpng would look at nothing else
    return data


def segments(kind: str, data: bytes) -> list[bytes]:
    """A file cut into the parts of its format; joined again they are the file."""
    cuts = sorted({0, len(data), *_CUTS[kind](data)})
    inside = [cut for cut in cuts if 0 <= cut <= len(data)]
    return [data[start:end] for start, end in itertools.pairwise(inside)]


def with_checksums(data: bytes) -> bytes:
    """A PNG file whose chunks have their right CRC, as far as its lengths make sense."""
    found, place = [data[:_PNG_HEAD]], _PNG_HEAD
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 12 + length
        if end > len(data):
            break
        body = data[place + 4 : end - 4]
        found.append(data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body)))
        place = end
    return b"".join(found) + data[place:]


def _by_segments(kind: str, data: bytes, other: bytes, random: Generator) -> bytes:
    parts = segments(kind, data)
    if not parts:
        return data
    at = int(random.integers(len(parts)))
    what = int(random.integers(6))
    if what == 0:
        del parts[at]
    elif what == 1:
        parts.insert(at, parts[int(random.integers(len(parts)))])
    elif what == 2:
        donors = segments(kind, other)
        parts[at] = donors[int(random.integers(len(donors)))]
    elif what == 3:
        parts.insert(at, parts.pop(int(random.integers(len(parts)))))
    elif what == 4:
        parts[at] *= int(random.integers(2, 300)) if len(parts[at]) < 3000 else 2
    else:  # the head of a part holds its length, its sizes and its kind
        parts[at] = _number(parts[at][:24], random) + parts[at][24:]
    return b"".join(parts)


def _number(data: bytes, random: Generator) -> bytes:
    """One integer of 1, 2 or 4 bytes set to one that programs stumble over."""
    width = int(random.choice((1, 2, 4)))
    if len(data) < width:
        return data
    choices = _NUMBERS + (_LARGE if width == 4 else ())
    value = int(random.choice(choices)) % (1 << (8 * width))
    at = int(random.integers(len(data) - width + 1))
    order = "big" if random.random() < 0.5 else "little"
    return data[:at] + value.to_bytes(width, order) + data[at + width :]  # type: ignore[arg-type]


def _flip(data: bytes, random: Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(random.integers(1, 9)) if data else 0):
        changed[int(random.integers(len(changed)))] = int(random.integers(256))
    return bytes(changed)


def _cut(data: bytes, random: Generator) -> bytes:
    return data[: int(random.integers(len(data) + 1))]


def _insert(data: bytes, random: Generator) -> bytes:
    at = int(random.integers(len(data) + 1))
    return data[:at] + random.bytes(int(random.integers(1, 200))) + data[at:]


def _early_number(data: bytes, random: Generator) -> bytes:
    return _number(data[:512], random) + data[512:]


_PLAIN: tuple[Callable[[bytes, Generator], bytes], ...] = (
    _flip, _flip, _cut, _insert, _early_number,
)  # fmt: skip


def _png_cuts(data: bytes) -> list[int]:
    cuts, place = [_PNG_HEAD], _PNG_HEAD
    while place + 12 <= len(data):
        place += 12 + struct.unpack_from(">I", data, place)[0]
        cuts.append(place)
    return cuts


def _jpeg_cuts(data: bytes) -> list[int]:
    """Every marker: 0xFF and a byte that is neither stuffing nor fill."""
    return [
        place
        for place in range(len(data) - 1)
        if data[place] == 0xFF and data[place + 1] not in (0x00, 0xFF)
    ]


def _tiff_cuts(data: bytes) -> list[int]:
    """The head, and each entry of the first directory."""
    if len(data) < 8:
        return []
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    if start + 2 > len(data):
        return [8]
    (count,) = struct.unpack_from(f"{order}H", data, start)
    return [4, 8, start, *(start + 2 + 12 * entry for entry in range(min(count, 64) + 1))]


def _pgm_cuts(data: bytes) -> list[int]:
    return [place for place in range(min(64, len(data))) if data[place : place + 1].isspace()]


def _dicom_cuts(data: bytes) -> list[int]:
    """Elements of the groups that describe a picture: a tag is four bytes at an even place."""
    groups = (b"\x02\x00", b"\x08\x00", b"\x28\x00", b"\xe0\x7f", b"\xfe\xff")
    head = range(132, min(len(data) - 4, 3000), 2)
    return [128, 132, *(place for place in head if data[place : place + 2] in groups)]


_CUTS: dict[str, Callable[[bytes], list[int]]] = {
    "PNG": _png_cuts,
    "JPEG": _jpeg_cuts,
    "TIFF": _tiff_cuts,
    "PGM": _pgm_cuts,
    "DICOM": _dicom_cuts,
}
