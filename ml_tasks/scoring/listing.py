"""The listing of a batch: every file of a folder, in one order, in the memory of a few thousand."""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
import os
import stat
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ml_tasks.errors import DataError, ScoringError

# What lies beside images and is none, by its name: it is counted, not scored.
COMPANIONS = (
    *(".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".ini", ".db", ".log"),
    *(".txt", ".md", ".pdf", ".htm", ".html", ".doc", ".docx", ".xls", ".xlsx"),
)
HIDDEN, TABLE, LINKED = "hidden", "tables and texts", "links to folders"
SHOWN = 20  # names of each kind that was left out

_SORTED_AT_ONCE = 20_000  # files; as many stand in memory, and the rest in sorted runs on the disk
_OFFSET = struct.Struct("<Q")
_LISTING, _INDEX = "listing.jsonl", "listing.index"


@dataclass(frozen=True)
class Listed:
    """A file below the folder; without size and time it is no plain file that could be opened."""

    file: str  # as the system names it, bytes that are no UTF-8 as surrogates
    size: int | None  # bytes
    modified_ns: int | None

    @property
    def shown(self) -> str:
        """The name as UTF-8 can hold it."""
        return self.file.encode("utf-8", "backslashreplace").decode()


@dataclass
class LeftOut:
    """What was not listed, by its kind: how many, and the first names."""

    counts: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, path: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        names = self.names.setdefault(kind, [])
        if len(names) < SHOWN:
            names.append(path.encode("utf-8", "backslashreplace").decode())


@dataclass(frozen=True)
class Listing:
    """What was written down of a folder."""

    images: int
    size: int  # bytes
    chunks: int
    sha256: str
    left_out: LeftOut


def write_listing(folder: Path, work: Path, chunk: int) -> Listing:
    """Lists the files of `folder`, at any depth, sorted by the bytes of their path, in `work`.

    Raises:
        DataError: a folder cannot be read: its films would be missing without a word.
    """
    with (work / _LISTING).open("wb") as listing, (work / _INDEX).open("wb") as index:
        return _write(folder, listing, index, chunk)


def listing_of(folder: Path, chunk: int) -> Listing:
    """What `write_listing` would give, nothing kept.

    Raises:
        DataError: as there.
    """
    with open(os.devnull, "wb") as nowhere:
        return _write(folder, nowhere, nowhere, chunk)


def read_chunk(work: Path, number: int) -> list[Listed]:
    """The files of one chunk, in order."""
    with (work / _INDEX).open("rb") as index:
        index.seek(number * _OFFSET.size)
        start, end = (_OFFSET.unpack(index.read(_OFFSET.size))[0] for _ in range(2))
    with (work / _LISTING).open("rb") as listing:
        listing.seek(start)
        return [Listed(*json.loads(line)) for line in listing.read(end - start).splitlines()]


def listing_sha256(work: Path) -> str:
    """Hex SHA-256 of the listing as it lies there.

    Raises:
        ScoringError: it is gone.
    """
    digest = hashlib.sha256()
    try:
        with (work / _LISTING).open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ScoringError(
            f"{work / _LISTING} cannot be read ({error.strerror}); remove {work} and start the "
            "batch anew"
        ) from error
    return digest.hexdigest()


def _write(folder: Path, listing: IO[bytes], index: IO[bytes], chunk: int) -> Listing:
    left_out, digest = LeftOut(), hashlib.sha256()
    images = size = at = 0
    for found in _sorted(_walk(folder, left_out)):
        if images % chunk == 0:
            index.write(_OFFSET.pack(at))
        line = _line(found)
        listing.write(line)
        digest.update(line)
        images, size, at = images + 1, size + (found.size or 0), at + len(line)
    index.write(_OFFSET.pack(at))
    return Listing(images, size, -(-images // chunk), digest.hexdigest(), left_out)


def _line(found: Listed) -> bytes:
    return (json.dumps([found.file, found.size, found.modified_ns]) + "\n").encode("ascii")


def _walk(folder: Path, left_out: LeftOut) -> Iterator[Listed]:
    """Every file that is not left out, in any order; links to folders are not followed."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        for entry in _entries(folder, below):
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith("."):
                left_out.note(HIDDEN, path)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif _is_table(entry.name):
                left_out.note(TABLE, path)
            elif entry.is_symlink() and _leads_to_folder(entry):
                left_out.note(LINKED, path)
            else:
                yield _listed(folder, path, entry)


def _entries(folder: Path, below: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder / below) as entries:
            yield from entries
    except OSError as error:
        raise DataError(
            f"the folder {folder / below} cannot be read ({error.strerror}), and its images would "
            "be missing; give this user the right to read it, or score another folder"
        ) from error


def _is_table(name: str) -> bool:
    return name.lower().endswith(COMPANIONS) or name == "DICOMDIR"


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # to itself, or to where nobody may look
        return False


def _listed(folder: Path, path: str, entry: os.DirEntry[str]) -> Listed:
    try:
        if entry.is_symlink() and not (folder / path).resolve(strict=True).is_relative_to(folder):
            return Listed(path, None, None)
        found = entry.stat()
    except (OSError, RuntimeError):  # gone meanwhile, or a loop of links: the row will say so
        return Listed(path, None, None)
    if not stat.S_ISREG(found.st_mode):
        return Listed(path, None, None)
    return Listed(path, found.st_size, found.st_mtime_ns)


def _sorted(found: Iterable[Listed]) -> Iterator[Listed]:
    """Sorts any number of files in flat memory: sorted runs on the disk, then merged."""
    rest = iter(found)
    with ExitStack() as files:
        runs: list[Iterable[Listed]] = []
        while part := sorted(itertools.islice(rest, _SORTED_AT_ONCE), key=_order):
            if len(part) < _SORTED_AT_ONCE:
                runs.append(part)
                break
            runs.append(_on_disk(part, files.enter_context(tempfile.TemporaryFile())))
        yield from heapq.merge(*runs, key=_order)


def _on_disk(part: list[Listed], file: IO[bytes]) -> Iterator[Listed]:
    file.writelines(_line(found) for found in part)
    file.seek(0)
    return (Listed(*json.loads(line)) for line in file)


def _order(found: Listed) -> bytes:
    return os.fsencode(found.file)
