"""Lines of a file that only grows: each is sealed by a checksum over it and the one before.

So an edited, lost or moved line is noticed. A line is one JSON object in ASCII, its last entry the
checksum. It is on the disk before its writer goes on; one that a crash tore off lacks its line
feed, counts as never written, and is cut off by the next writer.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CHECK = "check"


def sealed(entry: Mapping[str, Any], before: str, digits: int = 64) -> str:
    """The entry as a line that follows the line `before` ("" for the first).

    `digits` of the SHA-256 (hex) are kept.
    """
    text = json.dumps(entry)
    check = hashlib.sha256(f"{before}\n{text}".encode("ascii")).hexdigest()[:digits]
    return json.dumps({**entry, _CHECK: check})


def intact(line: str, before: str, digits: int = 64) -> dict[str, Any] | None:
    """The entry of a line; None where it is damaged, was edited, or does not follow `before`."""
    try:
        entry: dict[str, Any] = json.loads(line)
        del entry[_CHECK]
        return entry if sealed(entry, before, digits) == line else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def complete_lines(data: bytes) -> tuple[list[str], bytes]:
    """The complete lines of a file's content, and the bytes of one that is not."""
    whole, _, torn = data.rpartition(b"\n")
    text = whole.decode("ascii", errors="replace")
    return (text.split("\n") if text else []), torn


def append_line(path: Path, end: int, line: str) -> None:
    """Writes `line` at byte `end`, whatever a crash left there; on the disk when it returns.

    The caller holds the file's lock.

    Raises:
        OSError: it was not written; the file ends at byte `end`.
    """
    data = f"{line}\n".encode("ascii")
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.ftruncate(handle, end)
        os.lseek(handle, end, os.SEEK_SET)
        try:
            written = 0
            while written < len(data):
                written += os.write(handle, data[written:])
        except OSError:
            os.ftruncate(handle, end)
            raise
        os.fsync(handle)
    finally:
        os.close(handle)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name of a new file, too
    finally:
        os.close(folder)
