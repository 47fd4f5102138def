"""PGM files (netpbm), read by NumPy: Pillow scales each pixel by itself where 255 is not white."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.grey_levels import Values, reduced_in_strips, reduction
from ml_tasks.imaging.limits import check_size
from ml_tasks.imaging.spec import ImageSpec

# Magic number, width, height and the value of white, with comments between them; one space.
_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEAD = re.compile(rb"P([25])" + 3 * (_SPACE + rb"(\d{1,9})") + rb"(?:#[^\r\n]*[\r\n])*\s")
_LONGEST_HEAD = 4096
_TEXT_MEGAPIXELS = 10  # as text, a number takes a hundred times as long to read
_MOST_CHARACTERS = 8  # a pixel: five digits and what parts them


def is_netpbm(data: bytes) -> bool:
    """Whether the bytes begin like a file of the netpbm family."""
    return data[:1] == b"P" and data[1:2] in b"1234567" and data[2:3].isspace()


def decode_pgm(data: bytes, spec: ImageSpec) -> tuple[Values, int, tuple[int, int]]:
    """Reduced pixels, the factor, and the width and height of the file.

    Pixels (H,W) are uint8 from 0 to 255, or uint16 where white is over 255.

    Raises:
        ImageRejected: `unsupported`, `too_large`, `too_small` or `unreadable`.
    """
    head = _HEAD.match(data[:_LONGEST_HEAD])
    if head is None:
        raise ImageRejected(
            "unsupported", "of the netpbm files only PGM is read (P5 or P2); save it as grey"
        )
    kind, width, height, white = (int(number) for number in head.groups())
    if not 0 < white < 1 << 16:
        raise ImageRejected("unsupported", f"a PGM whose white is {white}; use 1 to 65535")
    check_size(width, height, spec)
    body = memoryview(data)[head.end() :]
    if kind == 5:
        stored = np.dtype(np.uint8 if white < 256 else ">u2")
        values = np.frombuffer(body, stored, width * height)
    else:
        values = _text(body, width * height)
    picture, factor = values.reshape(height, width), reduction((width, height), spec)

    def rows(top: int, bottom: int) -> Values:
        return _scaled(picture[top:bottom], white)

    return reduced_in_strips(rows, height, factor), factor, (width, height)


def _scaled(values: Values, white: int) -> Values:
    if white > 255:
        return np.minimum(values, white).astype(np.uint16)
    if white == 255:
        return values.astype(np.uint8)
    table = np.rint(np.minimum(np.arange(256), white) * (255 / white)).astype(np.uint8)
    return table[values]


def _text(body: memoryview, count: int) -> NDArray[np.uint16]:
    """Decimal numbers with spaces between them; comments may stand there too."""
    if count > _TEXT_MEGAPIXELS * 1e6:
        raise ImageRejected(
            "too_large",
            f"a PGM of text (P2) with {count:,} pixels; at most {_TEXT_MEGAPIXELS} megapixels are "
            "read as text, so save it as binary PGM (P5)",
        )
    if len(body) > count * _MOST_CHARACTERS:
        raise ImageRejected("unreadable", "the file is damaged: more text than its pixels need")
    text = re.sub(rb"#[^\r\n]*", b"", bytes(body))
    values: NDArray[Any] = np.fromstring(text, np.int32, sep=" ")
    if len(values) < count or values.min(initial=0) < 0 or values.max(initial=0) >= 1 << 16:
        raise ImageRejected("unreadable", "the file is damaged or cut off (pixels are missing)")
    return values[:count].astype(np.uint16)
