"""Which content a file had when it was last read: an unchanged file need not be read again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

from ml_tasks.storage import remove_leftovers, write_bytes

# A file changed within one tick of the disk's clock keeps its time: younger than this when it was
# read, it is read again (as version control systems do). Seconds; FAT counts in steps of two.
_TICK = 2.0
_ABANDONED_SECONDS = 3600  # writing takes less than one: an older file is of a killed process
Stamp = tuple[int, int, int, int]


class SeenFiles:
    """Content hashes by path, size, inode and both times of change; may be lost at any time."""

    def __init__(self, cache: Path, raw: Path) -> None:
        name = hashlib.sha256(os.fsencode(raw.resolve())).hexdigest()[:16]
        self._place = cache / f"seen-{name}.json"
        self._known: dict[str, list[object]] = {}
        self._fresh: dict[str, list[object]] = {}
        self._asked: set[str] = set()
        try:
            self._known = json.loads(self._place.read_bytes())
        except (OSError, ValueError):
            self._known = {}

    def content(self, path: str, stamp: Stamp) -> str | None:
        """The hash that a file has if nothing about it has changed, else None."""
        self._asked.add(path)
        entry = self._known.get(path)
        if entry is None or entry[:4] != list(stamp):
            return None
        self._fresh[path] = entry
        return str(entry[4])

    def note(self, path: str, stamp: Stamp, sha256: str) -> None:
        """Remembers a file that was read just now; `stamp` is from before reading."""
        if time.time() - max(stamp[1], stamp[2]) / 1e9 > _TICK:
            self._fresh[path] = [*stamp, sha256]

    def save(self) -> None:
        """Keeps what was seen, and the notes on files that were not asked for and still exist.

        A shard asks for its own files alone; it may not forget those of the others.
        """
        others = {path: entry for path, entry in self._known.items() if path not in self._asked}
        notes = {path: entry for path, entry in others.items() if Path(path).exists()}
        notes |= self._fresh
        remove_leftovers(self._place, _ABANDONED_SECONDS)
        if notes != self._known:
            write_bytes(self._place, json.dumps(notes).encode())


def stamp_of(path: Path) -> Stamp:
    """Size, time of last writing, time of last change and inode of a file.

    Raises:
        OSError: it cannot be looked at.
    """
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
