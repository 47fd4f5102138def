"""The first directory of a TIFF file, checked before Pillow and libtiff follow what it says."""

from __future__ import annotations

import io
import struct

from ml_tasks.errors import ImageRejected

# TIFF 6.0, section 2; BigTIFF differs in its widths alone: where the first directory is named, and
# how its count, an entry and an offset are packed.
_CLASSIC, _BIG = (4, "H", "HHI4s", "I"), (8, "Q", "HHQ8s", "Q")
_ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT = 274, 322, 323
_SHORT = 3
_MOST_ENTRIES = 1000
_MOST_NUMBERS = 200_000  # of one entry: a row of a film each, and more
_BYTES = (1, 2, 6, 7)  # kinds of entries that stay bytes
_LARGEST_TILE = 4096 * 4096


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin like a TIFF file."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def checked_tiff(data: bytes) -> io.BytesIO:
    """The file of one picture, in which no orientation is noted: films have none, and pixels stay.

    Raises:
        ImageRejected: `unsupported`: several pictures, or tables beyond all need.
        struct.error: cut off.
    """
    order = "<" if data[:2] == b"II" else ">"
    start_at, count, entry, offset = _CLASSIC if 42 in data[2:4] else _BIG
    (start,) = struct.unpack_from(order + offset, data, start_at)
    (entries,) = struct.unpack_from(order + count, data, start)
    if entries > _MOST_ENTRIES:
        raise ImageRejected("unsupported", f"the TIFF has {entries} entries; save it anew")
    width, first = struct.calcsize("=" + entry), start + struct.calcsize("=" + count)
    file, tile = io.BytesIO(data), {_TILE_WIDTH: 0, _TILE_HEIGHT: 0}
    for place in range(first, first + entries * width, width):
        tag, kind, number, value = struct.unpack_from(order + entry, data, place)
        if kind not in _BYTES and number > _MOST_NUMBERS:
            raise ImageRejected("unsupported", f"the TIFF has a table of {number:,}; save it anew")
        form = order + ("H" if kind == _SHORT else "I")
        if tag in tile:
            tile[tag] = max(tile[tag], *struct.unpack_from(form, value))
        if tag == _ORIENTATION:
            file.seek(place + width - len(value))
            file.write(struct.pack(form, 1))
    (following,) = struct.unpack_from(order + offset, data, first + entries * width)
    if following:
        raise ImageRejected("unsupported", "the file holds several pictures; save one in each file")
    if tile[_TILE_WIDTH] * tile[_TILE_HEIGHT] > _LARGEST_TILE:
        raise ImageRejected("unsupported", "the TIFF has tiles that are too large; save it anew")
    file.seek(0)
    return file
