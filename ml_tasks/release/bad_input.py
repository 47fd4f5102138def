"""Files that no service may answer, nor be ended by: nothing, text, half a picture, a bomb."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from ml_tasks.imaging.encode import png_bytes

_SIDE = 60_000  # pixels that the bomb claims each way: 3.6 GB, in a file of some kilobytes


def bad_files() -> dict[str, bytes]:
    """Each by its name for people."""
    picture = png_bytes(np.add.outer(np.arange(512), np.arange(512)).astype(np.uint8))
    return {
        "empty file": b"",
        "text file": b"this is no mammogram\n",
        "truncated picture": picture[: len(picture) // 2],
        "decompression bomb": _bomb(),
    }


def _bomb() -> bytes:
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1 << 22), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    checked = kind + body
    return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))
