"""Looks for planted strings in all that a run leaves, and in what is packed therein."""

from __future__ import annotations

import base64
import gzip
import io
import logging
import os
import re
import tarfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO

from PIL import Image

Piece = tuple[str, bytes]
_UPPER = bytes(range(256)).upper()
_IN_PAGE = re.compile(rb"base64,([A-Za-z0-9+/=]+)")


def traces(strings: Iterable[str], pieces: Iterable[Piece]) -> list[str]:
    """Which strings stand where, in small letters or in text of two or four bytes a letter too."""
    # Most pieces hold no beginning of any string: thousands of searches are spared.
    sought: dict[bytes, list[bytes]] = {}
    for data in sorted(string.upper().encode() for string in strings):
        sought.setdefault(data[:5], []).append(data)
    found = []
    for name, data in pieces:
        for text in (name.encode(), data):
            plain = text.translate(_UPPER, delete=b"\0")
            near = [string for head in sought if head in plain for string in sought[head]]
            found += [f"{string.decode()} in {name}" for string in near if string in plain]
    return found


def files_below(root: Path, apart_from: Path) -> Iterator[Piece]:
    """Every file below `root` with all that is packed in it, but those of one folder."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_relative_to(apart_from):
            yield from looked_into(path.relative_to(root).as_posix(), path.read_bytes())


def looked_into(name: str, data: bytes) -> Iterator[Piece]:
    """The bytes, and those of every member, picture or text packed in them, however deep."""
    if data[257:262] == b"ustar":
        yield from members(name, io.BytesIO(data))
        return  # a tar packs nothing: its members are all that it says
    yield name, data
    for inner, content in _unpacked(data):
        yield from looked_into(f"{name}!{inner}", content)


def members(name: str, stream: IO[bytes]) -> Iterator[Piece]:
    """Every entry of a tar, with its owner and where a link leads, and what is packed in it."""
    with tarfile.open(fileobj=stream) as archive:
        for entry in archive:
            inner = f"{name}!{entry.name}"
            yield inner, repr((entry.linkname, entry.uname, entry.pax_headers)).encode()
            content = archive.extractfile(entry) if entry.isfile() else None
            if content is not None:
                yield from looked_into(inner, content.read())


def _unpacked(data: bytes) -> Iterator[Piece]:
    if data.startswith(b"\x1f\x8b"):
        yield "gz", gzip.decompress(data)
    elif data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from ((name, archive.read(name)) for name in archive.namelist())
    elif data.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(data)) as picture:
            yield "pixels", picture.tobytes()  # read first: texts may stand behind them
            yield "texts", repr(picture.info).encode()
    for number, found in enumerate(_IN_PAGE.finditer(data)):
        yield f"base64 {number}", base64.b64decode(found[1])


@contextmanager
def recorded(path: Path) -> Iterator[None]:
    """Writes to `path` all that the block prints, logs or warns of, whichever way it goes out."""
    with ExitStack() as stack:
        stream = stack.enter_context(path.open("a", buffering=1))
        warned = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        for number in (1, 2):  # what libraries in C print
            stack.callback(_led_back, number, os.dup(number))
            os.dup2(stream.fileno(), number)
        stack.enter_context(redirect_stdout(stream))
        stack.enter_context(redirect_stderr(stream))
        stack.enter_context(_logged(stream))
        yield
        stream.writelines(f"{warning.message!r}\n" for warning in warned)


def _led_back(number: int, kept: int) -> None:
    os.dup2(kept, number)
    os.close(kept)


@contextmanager
def _logged(stream: IO[str]) -> Iterator[None]:
    root, handler = logging.getLogger(), logging.StreamHandler(stream)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
