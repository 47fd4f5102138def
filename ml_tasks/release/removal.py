"""Removing a folder or file so that nothing half-removed is ever read, killed at any point."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from pydantic import Field, computed_field

from ml_tasks.errors import StorageError
from ml_tasks.records import Record

# A fixed form: a name that is nearly as long as the disk allows could not take an addition.
_GOING = re.compile(r"\.[0-9a-f]{32}\.removed")


class Looked(Record):
    """One thing that was looked at, and why it stays; without a reason it may go."""

    path: Path = Field(exclude=True)
    bytes: int = 0
    stays: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def name(self) -> str:
        """The path as text."""
        return shown(self.path)


def remove(path: Path) -> None:
    """Renames `path` to a hidden sibling in one step, then deletes that; links are not followed.

    Raises:
        StorageError: it cannot be renamed (it then stands whole) or deleted (it is then hidden,
            and the next `finish_removals` deletes it).
    """
    hidden = path.parent / f".{uuid4().hex}.removed"
    with _removal_errors(path):
        path.rename(hidden)
        _delete(hidden)


def finish_removals(folder: Path) -> int:
    """Deletes what a killed `remove` has left hidden in a folder; gives how many.

    Raises:
        StorageError: it cannot be deleted.
    """
    found = [path for path in _entries(folder) if _GOING.fullmatch(path.name)]
    for path in found:
        with _removal_errors(path):
            _delete(path)
    return len(found)


def size_of(path: Path) -> int:
    """Bytes that deleting a file or folder frees; files that have other names free nothing."""
    return sum(found.st_size for found in _below(path) if found.st_nlink == 1)


def last_touched(path: Path) -> float:
    """When anything in a folder was written or made last, as a POSIX time."""
    return max((found.st_mtime for found in _below(path, folders=True)), default=0.0)


def shown(path: Path) -> str:
    """A path for a log line: names may hold line ends, or bytes that are no text."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


@contextmanager
def _removal_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{shown(path)} cannot be removed whole ({error.strerror}); give this user the right "
            "to, or remove it by hand, then run this again"
        ) from error


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _below(path: Path, folders: bool = False) -> Iterator[os.stat_result]:
    """What lies in a folder, links as themselves; what goes away meanwhile is left out."""
    try:
        own = path.lstat()
    except FileNotFoundError:
        return
    if not path.is_dir() or path.is_symlink():
        yield own
        return
    if folders:
        yield own
    for root, names, files in os.walk(path):
        for name in [*files, *names]:
            try:
                found = os.lstat(os.path.join(root, name))
            except FileNotFoundError:
                continue
            if folders or not stat.S_ISDIR(found.st_mode):
                yield found
