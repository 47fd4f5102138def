"""What a JPEG or JPEG 2000 codestream says of itself, read before a decoder takes memory for it.

A picture inside a DICOM file has a size of its own, which the decoders follow whatever the file's
header says. Structures that are legal but need memory out of all proportion are refused here too.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

Stream = bytes | memoryview

SEQUENTIAL, PROGRESSIVE, LOSSLESS, JPEG_LS = (0xC0, 0xC1), 0xC2, 0xC3, 0xF7
_FRAMES = (*(set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}), JPEG_LS)  # ITU-T T.81, table B.1
_START_OF_SCAN, _FILL = 0xDA, 0xFF
_BARE = (0x01, *range(0xD0, 0xDA))  # markers without a segment

# ISO/IEC 15444-1, annex A.
_MAGIC = b"\xff\x4f\xff\x51"
_CODING, _START_OF_TILE, _START_OF_DATA, _END = 0x52, 0x90, 0x93, b"\xff\xd9"
# Not among them: a component's own coding style, and packet headers kept apart.
_HEADERS = (0x50, 0x51, 0x52, 0x55, 0x57, 0x58, 0x5C, 0x5D, 0x5E, 0x5F, 0x63, 0x64, 0x90, 0x93)

_MOST_SEGMENTS = 20_000
_MOST_TILES = 4096  # OpenJPEG takes 7 kB for each before the first is decoded
_MOST_BLOCKS = 250_000  # it takes 300 bytes for each; 50 megapixels in blocks of 32x32 are 65,000
_MOST_LAYERS = 256


@dataclass(frozen=True)
class Codestream:
    """A picture as its codestream describes it."""

    width: int
    height: int
    components: int
    bits: int
    signed: bool = False
    process: int = 0  # of JPEG: the second byte of its frame's marker
    samples: float = 1.0  # of JPEG: values in all components for each pixel
    halvings: int = 0  # of JPEG 2000: how often it can be halved while it is decoded


def jpeg_scans(data: Stream) -> int:
    """How many scans a JPEG can have at most: every marker of one counts, wherever it stands.

    By NumPy, in pairs of bytes: of a film of 2 MB `bytes.count` takes 2.2 ms, this 0.3 ms.
    """
    marker = int.from_bytes((0xFF, _START_OF_SCAN), "little")
    pairs = (np.frombuffer(data, "<u2", (len(data) - at) // 2, at) for at in (0, 1))
    return sum(int(np.count_nonzero(pair == marker)) for pair in pairs)


def jpeg_codestream(data: Stream) -> Codestream:
    """The one frame of a JPEG or JPEG-LS stream, which must stand before its first scan.

    Raises:
        ValueError: none, several, or no such stream.
    """
    found = [
        _jpeg_frame(marker, data[start:end])
        for marker, start, end in _segments(data, 2, _START_OF_SCAN)
        if marker in _FRAMES
    ]
    if data[:2] != b"\xff\xd8" or len(found) != 1:
        raise ValueError("no single JPEG frame")
    return found[0]


def jpeg2000_codestream(data: Stream) -> Codestream:
    """The picture of a JPEG 2000 stream of one component, in a grid that begins at its corner.

    Raises:
        ValueError: it is none, or is built so that decoding it would take too much.
    """
    if data[:4] != _MAGIC:
        raise ValueError("no JPEG 2000 codestream")
    sizes = struct.unpack_from(">8I", data, 8)
    width, height, tile_width, tile_height = sizes[0], sizes[1], sizes[4], sizes[5]
    components, depth, *steps = struct.unpack_from(">HBBB", data, 40)
    if any(sizes[2:4] + sizes[6:]) or components != 1 or steps != [1, 1]:
        raise ValueError("not one component from the corner on")
    tiles = -(-width // tile_width) * -(-height // tile_height)
    if tiles > _MOST_TILES:
        raise ValueError("too many tiles")
    tile = min(width, tile_width), min(height, tile_height)
    halvings = _halvings(_coding(data), tile, tiles)
    return Codestream(
        width, height, components, (depth & 0x7F) + 1, signed=depth > 0x7F, halvings=halvings
    )


def _segments(data: Stream, place: int, *ends: int) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment from a place on, up to one of the `ends`, included."""
    for _ in range(_MOST_SEGMENTS):
        head = bytes(data[place : place + 4])
        if len(head) < 4 or head[0] != _FILL or head[1] in _BARE:
            raise ValueError("no segment where one must stand")
        if head[1] == _FILL:
            place += 1
            continue
        length = 0 if head[1] == _START_OF_DATA else int.from_bytes(head[2:], "big")
        yield head[1], place + 4, place + 2 + length
        if head[1] in ends:
            return
        place += 2 + length
    raise ValueError("too many segments")


def _jpeg_frame(marker: int, body: Stream) -> Codestream:
    bits, height, width, components = struct.unpack_from(">BHHB", body)
    shapes = [body[6 + 3 * number + 1] for number in range(components)]
    across, down = [shape >> 4 for shape in shapes], [shape & 15 for shape in shapes]
    area = sum(a * d for a, d in zip(across, down, strict=True))
    samples = area / (max(across) * max(down))
    return Codestream(width, height, components, bits, process=marker, samples=samples)


def _coding(data: Stream) -> Stream:
    """The one coding style of a JPEG 2000 stream; that of a single tile may be no other."""
    codings, place = [], 2
    for marker, begin, end in _segments(data, place, _START_OF_TILE):
        _known(marker)
        if marker == _CODING:
            codings.append(data[begin:end])
        place = begin - 4
    if len(codings) != 1:
        raise ValueError("not one coding style")
    _check_tiles(data, place)
    return codings[0]


def _check_tiles(data: Stream, place: int) -> None:
    """Walks the parts of tiles from a place on to the end."""
    for _ in range(2 * _MOST_TILES):
        if bytes(data[place : place + 2]) in (_END, b""):
            return
        for marker, _, _ in _segments(data, place, _START_OF_DATA):
            _known(marker)
            if marker == _CODING:
                raise ValueError("a tile has a coding style of its own")
        length = int.from_bytes(data[place + 6 : place + 10], "big")
        if not length:  # the part goes to the end of the stream
            return
        place += length
    raise ValueError("too many parts of tiles")


def _known(marker: int) -> None:
    """OpenJPEG would look for headers inside segments that it does not know."""
    if marker not in _HEADERS:
        raise ValueError("a segment that is not read")


def _halvings(coding: Stream, tile: tuple[int, int], tiles: int) -> int:
    """How often a tile can be halved; its code-blocks at all sizes must be few enough."""
    style, _, layers, _, halvings, across, down = struct.unpack_from(">BBHBBBB", coding)
    if layers > _MOST_LAYERS or halvings > 32:
        raise ValueError("too many layers or sizes")
    blocks = 0
    for number in range(halvings + 1):
        precinct = coding[10 + number] if style & 1 else 0xFF
        shrunk = 1 << (halvings - number)
        block = (min(across + 3, precinct & 15), min(down + 3, precinct >> 4))
        counts = (
            math.ceil(side / shrunk / (1 << power)) for side, power in zip(tile, block, strict=True)
        )
        blocks += 3 * math.prod(counts)
    if blocks * tiles > _MOST_BLOCKS:
        raise ValueError("too many code-blocks")
    return int(halvings)
