"""Damaged files leave nothing behind: a service that refuses them for months must not grow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.decode import decode
from ml_tasks.imaging.spec import ImageSpec
from tests.builders import encoded, film
from tests.fuzz.mutations import with_checksums
from tests.imaging.dicom_files import JPEG, LOSSLESS, dicom_bytes

_PIXELS = cv2.resize(film(2, lesion=True), (1280, 1600), interpolation=cv2.INTER_CUBIC)
_DEEP = _PIXELS.astype(np.uint16) * 16
_TIMES = 20  # each damage; a picture of 2 or 4 MB lost every time would be 120 MB or more
_MOST_MB = 30  # that the process may have grown by at the end
_SPEC = ImageSpec()


FILES: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: encoded(_PIXELS, "PNG"),
    "PNG, 16 bits": lambda: encoded(_DEEP, "PNG"),
    "PNG, colour": lambda: encoded(np.dstack([_PIXELS] * 3), "PNG"),
    "JPEG": lambda: encoded(_PIXELS, "JPEG"),
    "JPEG, progressive": lambda: encoded(_PIXELS, "JPEG", progressive=True),
    "TIFF, LZW": lambda: encoded(_DEEP, "TIFF", compression="tiff_lzw"),
    "TIFF, deflate": lambda: encoded(_PIXELS, "TIFF", compression="tiff_adobe_deflate"),
    "PGM": lambda: b"P5 1280 1600 4095\n" + _DEEP.astype(">u2").tobytes(),
    "DICOM, JPEG": lambda: dicom_bytes(_PIXELS, JPEG),
    **{f"DICOM {syntax}": partial(dicom_bytes, _DEEP, syntax) for syntax in LOSSLESS},
}


def _damaged(kind: str, data: bytes) -> Iterator[bytes]:
    """Cut, and with 64 bytes inverted at three places; a PNG also with its checksums right."""
    yield data[: len(data) // 2]
    for share in (0.02, 0.5, 0.9):
        place = int(len(data) * share)
        inverted = bytes(byte ^ 255 for byte in data[place : place + 64])
        changed = data[:place] + inverted + data[place + 64 :]
        yield changed
        if kind.startswith("PNG"):
            yield with_checksums(changed)


def _refused(data: bytes) -> bool:
    try:
        decode(data, _SPEC)
    except ImageRejected:
        return True
    return False


def _megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_leave_no_memory_behind(kind: str) -> None:
    files = list(_damaged(kind, FILES[kind]()))

    assert sum(_refused(data) for data in files) > 0
    for data in files:  # what is loaded once, and the largest picture, are not counted
        _refused(data)
    before = _megabytes()
    for data in files * _TIMES:
        _refused(data)
    assert _megabytes() - before < _MOST_MB
