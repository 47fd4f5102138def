"""Locks of Python packages, read as text: one entry a package, and what one adds to another."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ml_tasks.errors import ReleaseError

_HEAD = re.compile(
    r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?==(?P<version>[^\s;\\]+)"
    r"\s*(;\s*(?P<marker>[^\\]+?))?\s*\\?$"
)


@dataclass(frozen=True)
class LockEntry:
    """One pinned package: its lines as they stand, and where it is wanted ("": everywhere)."""

    name: str
    version: str
    marker: str
    text: str


def read_lock(path: Path) -> tuple[LockEntry, ...]:
    """The entries of a lock, in its order.

    Raises:
        ReleaseError: a line is no `name==version`, and no hash of one.
    """
    entries: list[LockEntry] = []
    for number, line in enumerate(path.read_text().splitlines(keepends=True), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace() and entries:
            last = entries[-1]
            entries[-1] = LockEntry(last.name, last.version, last.marker, last.text + line)
            continue
        head = _HEAD.match(line.rstrip("\n"))
        if head is None:
            raise ReleaseError(
                f"{path}, line {number}: {line.strip()!r} is no pinned package; run `make lock`"
            )
        entries.append(LockEntry(head["name"], head["version"], head["marker"] or "", line))
    return tuple(entries)


def lock_text(entries: Iterable[LockEntry]) -> str:
    """The lock of these entries, which pip and uv read."""
    return "".join(entry.text for entry in entries)


def added(
    entries: Iterable[LockEntry], below: Iterable[LockEntry], lock: str
) -> tuple[LockEntry, ...]:
    """What `entries` (of the file `lock`) hold beyond those `below`.

    Raises:
        ReleaseError: a package is pinned otherwise than below; images would differ.
    """
    pinned = {(entry.name, entry.marker): entry for entry in below}
    new: list[LockEntry] = []
    for entry in entries:
        there = pinned.get((entry.name, entry.marker))
        if there is None:
            new.append(entry)
        elif there.text != entry.text:
            raise ReleaseError(
                f"{lock} pins {entry.name} {entry.version}, and the lock below it "
                f"{there.version}, or other hashes: run `make lock`, which holds all locks to one"
            )
    return tuple(new)
