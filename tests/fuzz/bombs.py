"""Small files that ask for much: sizes nothing holds, runs that stretch, tables without end."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.spec import ImageSpec
from tests.builders import encoded, film, png_chunk, with_chunks
from tests.imaging.dicom_files import ENCODERS, JPEG, RLE, dicom_bytes, encapsulated

FOLDER = "MAMMO_BOMBS"  # names the folder of the files to a process that reads them
_SPEC = ImageSpec()
_DEEP = film(1).astype(np.uint16) * 16
_J2K, _LS, _LOSSLESS = (f"1.2.840.10008.1.2.4.{number}" for number in (90, 80, 70))


def read_bomb(case: int) -> str:
    """Reads a numbered file as the pipeline and the service do."""
    cv2.setNumThreads(1)
    data = (Path(os.environ[FOLDER]) / str(case)).read_bytes()
    try:
        preprocess(data, _SPEC)
    except ImageRejected as refusal:
        refusal.add_note(str(case))
        raise
    return str(case)


def _stream(syntax: str) -> bytearray:
    return bytearray(ENCODERS[syntax](_DEEP))


def _jpeg2000(width: int, height: int, tile: tuple[int, int] | None = None) -> bytes:
    stream = _stream(_J2K)
    struct.pack_into(">II", stream, 8, width, height)
    struct.pack_into(">II", stream, 24, *(tile or (width, height)))
    rows, columns = (height, width) if tile else _DEEP.shape
    return encapsulated(bytes(stream), _J2K, rows, columns)


def _jpeg2000_coding(change: Callable[[bytearray], bytes], height: int, width: int) -> bytes:
    """A stream of a size that is read, with its coding style (marker, length, 10 bytes) changed."""
    stream = _stream(_J2K)
    struct.pack_into(">II", stream, 8, width, height)
    struct.pack_into(">II", stream, 24, width, height)
    at = stream.find(b"\xff\x52")
    changed = stream[:at] + change(stream[at : at + 14]) + stream[at + 14 :]
    return encapsulated(bytes(changed), _J2K, height, width)


def _small_blocks(coding: bytearray) -> bytes:
    coding[10:12] = b"\0\0"  # 4x4
    return bytes(coding)


def _small_precincts(coding: bytearray) -> bytes:
    halvings = coding[9]
    coding[2:4], coding[4] = struct.pack(">H", 13 + halvings), coding[4] | 1
    return bytes(coding) + b"\x11" * (halvings + 1)


def _many_layers(coding: bytearray) -> bytes:
    coding[6:8] = b"\xff\xff"
    return bytes(coding)


def _second_coding(coding: bytearray) -> bytes:
    """Inside a segment of an unknown kind, where OpenJPEG would look for it."""
    hidden = _small_blocks(coding.copy())
    return bytes(coding) + b"\xff\x30" + struct.pack(">H", len(hidden) + 2) + hidden


def _frame(syntax: str, marker: bytes, twice: bool = False) -> bytes:
    """A JPEG stream that claims 60000x60000 pixels; `twice`: only in a second frame header."""
    eight = syntax == JPEG
    stream = bytearray(imagecodecs.jpeg8_encode(film(1)) if eight else _stream(syntax))
    at = stream.find(marker)
    head = bytearray(stream[at : at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")])
    struct.pack_into(">HH", head, 5, 60000, 60000)
    end = at + len(head)
    changed = stream[: end if twice else at] + head + stream[end:]
    rows, columns = _DEEP.shape
    return encapsulated(bytes(changed), syntax, rows, columns, 8 if eight else 16)


def _runs(megabytes: int) -> bytes:
    """RLE segments of runs of 128 zeros each, far beyond the picture."""
    segment = b"\x81\x00" * (megabytes * 1_000_000 // 128)
    head = struct.pack("<16I", 2, 64, 64 + len(segment), *([0] * 13))
    rows, columns = _DEEP.shape
    return encapsulated(head + segment + segment, RLE, rows, columns)


def _fragments() -> bytes:
    data = dicom_bytes(_DEEP, RLE)
    end = data.rfind(b"\xfe\xff\xdd\xe0")
    return data[:end] + b"\xfe\xff\x00\xe0\0\0\0\0" * 2_000_000 + data[end:]


def _directories(count: int) -> bytes:
    """A TIFF whose directories follow each other."""
    data = bytearray(encoded(film(1), "TIFF"))
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    body, size = bytes(data[start : start + 2 + 12 * entries]), 6 + 12 * entries
    struct.pack_into("<I", data, start + 2 + 12 * entries, len(data))
    last = len(data) + size * (count - 1)
    chain = (
        body + struct.pack("<I", 0 if place == last else place + size)
        for place in range(len(data), last + 1, size)
    )
    return bytes(data) + b"".join(chain)


def _tiff(entries: list[tuple[int, int, int, int]], tail: bytes) -> bytes:
    """A TIFF of entries (tag, kind, number, value); `tail` lies behind its directory."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + body + bytes(4) + tail


def _large_tile() -> bytes:
    """One tile of 676 MB of zeros, deflated."""
    packer = zlib.compressobj(9)
    block = bytes(1_000_000)
    body = b"".join(packer.compress(block) for _ in range(676)) + packer.flush()
    at = 10 + 12 * 10 + 4
    named = {256: 200, 257: 200, 258: 8, 259: 8, 262: 1, 277: 1}
    named |= {322: 26000, 323: 26000, 324: at, 325: len(body)}
    return _tiff([(tag, 4, 1, value) for tag, value in named.items()], body)


def _long_table() -> bytes:
    count = 8_000_000
    at = 10 + 12 * 8 + 4
    named = {256: 200, 257: 200, 258: 8, 259: 1, 262: 1, 277: 1, 279: 40000}
    entries = [(tag, 4, 1, value) for tag, value in named.items()] + [(273, 4, count, at)]
    return _tiff(entries, bytes(4 * count))


def _scans() -> bytes:
    """A progressive JPEG of 49 megapixels that ends with the same scan over and over."""
    small = encoded(film(1), "JPEG", progressive=True)
    at = small.rfind(b"\xff\xda")
    data = bytearray(small[:at] + small[at:-2] * 50 + small[-2:])
    struct.pack_into(">HH", data, data.find(b"\xff\xc2") + 5, 7000, 7000)
    return bytes(data)


def _colour_coefficients() -> bytes:
    data = bytearray(
        encoded(np.dstack([film(1)] * 3), "JPEG", progressive=True, subsampling=0, quality=90)
    )
    struct.pack_into(">HH", data, data.find(b"\xff\xc2") + 5, 7000, 7000)
    return bytes(data)


def _segments() -> bytes:
    data = encoded(film(1), "JPEG")
    return data[:2] + b"\xff\xfe\0\x02" * 3_000_000 + data[2:]


def _commented_png(kind: bytes, body: bytes, times: int = 1) -> bytes:
    """A PNG with chunks before its pixels."""
    return with_chunks(encoded(film(1)), times * png_chunk(kind, body))


def _packed_png(kind: bytes) -> bytes:
    """A PNG with a named text or profile of 900 MB, packed."""
    return _commented_png(kind, b"a\0\0" + zlib.compress(bytes(900_000_000), 9))


def _endless_png() -> bytes:
    """A PNG without pixels, and a chunk of 2 GiB after its end."""
    return with_chunks(encoded(film(1)), png_chunk(b"IEND") + b"\x80\0\0\0IDAT")


def _png(width: int, height: int, colour: int, samples: int, bits: int = 8) -> bytes:
    """A PNG of zeros."""
    packer, row = zlib.compressobj(1), bytes(1 + width * samples * bits // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", body) + png_chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _strip(side: int) -> bytes:
    """A TIFF in colour, deflated in a single strip."""
    file = io.BytesIO()
    picture = Image.fromarray(cv2.resize(np.dstack([film(1)] * 3), (side, side)))
    picture.save(file, "TIFF", compression="tiff_adobe_deflate", tiffinfo={278: side})
    return file.getvalue()


def large(bits: int = 8, megapixels: float = 13.6) -> NDArray[Any]:
    """A grainy film of so many megapixels, 5:4."""
    height = round((megapixels * 1.25e6) ** 0.5)
    pixels = cv2.resize(film(1, lesion=True), (round(height / 1.25), height))
    if bits == 8:
        return pixels
    grain = np.random.default_rng(0).integers(0, 1 << (bits - 8), pixels.shape, np.uint16)
    return (pixels.astype(np.uint16) << (bits - 8)) | grain


def _pgm(white: int, kind: int = 5) -> bytes:
    pixels = large(12 if white > 255 else 8)
    head = f"P{kind} {pixels.shape[1]} {pixels.shape[0]} {white}\n".encode()
    if kind == 2:
        return head + b"7 " * pixels.size
    return head + (pixels.astype(">u2") if white > 255 else pixels).tobytes()


# By name: what makes the file, and what has to come of it: "read", or the code of its refusal.
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "JPEG 2000 of 20000x20000 pixels": (lambda: _jpeg2000(20000, 20000), "unreadable"),
    "JPEG 2000 of 65,000 tiles": (lambda: _jpeg2000(255, 255, (1, 1)), "unreadable"),
    "JPEG 2000 in blocks of 4x4": (
        lambda: _jpeg2000_coding(_small_blocks, 7000, 7000),
        "unreadable",
    ),
    "JPEG 2000 in precincts of 2x2": (
        lambda: _jpeg2000_coding(_small_precincts, 7000, 7000),
        "unreadable",
    ),
    "JPEG 2000 of 65,535 layers": (lambda: _jpeg2000_coding(_many_layers, 200, 160), "unreadable"),
    "JPEG 2000 with a hidden coding style": (
        lambda: _jpeg2000_coding(_second_coding, 7000, 7000),
        "unreadable",
    ),
    "JPEG in DICOM of 60000x60000 pixels": (lambda: _frame(JPEG, b"\xff\xc0"), "unreadable"),
    "JPEG in DICOM with a second frame": (lambda: _frame(JPEG, b"\xff\xc0", True), "unreadable"),
    "lossless JPEG of 60000x60000 pixels": (
        lambda: _frame(_LOSSLESS, b"\xff\xc3"),
        "unreadable",
    ),
    "JPEG-LS of 60000x60000 pixels": (lambda: _frame(_LS, b"\xff\xf7"), "unreadable"),
    "RLE that stretches to 800 MB": (lambda: _runs(400), "unreadable"),
    "two million fragments": (_fragments, "unreadable"),
    "TIFF of 60,000 directories": (lambda: _directories(60_000), "unsupported"),
    "TIFF with a tile of 676 MB": (_large_tile, "unsupported"),
    "TIFF with a table of 8 million": (_long_table, "unsupported"),
    "TIFF in colour, in one strip": (lambda: _strip(5400), "read"),
    "JPEG of 50 scans": (_scans, "unreadable"),
    "progressive JPEG in colour": (_colour_coefficients, "too_large"),
    "JPEG of three million segments": (_segments, "unreadable"),
    "PNG of zeros": (lambda: _png(7000, 7000, 0, 1), "no_breast"),
    "PNG of zeros, 16 bits": (lambda: _png(7000, 7000, 0, 1, 16), "no_breast"),
    "PNG of zeros in colour": (lambda: _png(7000, 7000, 2, 3), "too_large"),
    "smaller PNG of zeros in colour": (lambda: _png(5400, 5400, 2, 3), "no_breast"),
    "PNG with a chunk of 2 GiB": (_endless_png, "unreadable"),
    "PNG with a comment of 900 MB": (
        lambda: _packed_png(b"zTXt"),
        "read",
    ),
    "PNG with a profile of 900 MB": (
        lambda: _packed_png(b"iCCP"),
        "read",
    ),
    "PNG of 150,000 comments": (lambda: _commented_png(b"tEXt", b"a\0", 150_000), "read"),
    "PGM of 4096 levels": (lambda: _pgm(4095), "read"),
    "PGM of 255 levels": (lambda: _pgm(254), "read"),
    "PGM as text": (lambda: _pgm(255, 2), "too_large"),
    "signed DICOM of 49 megapixels with padding": (
        lambda: dicom_bytes(
            large(12, 49).astype(np.int16) - np.int16(2000), PixelPaddingValue=-2000
        ),
        "read",
    ),
}
