"""One file of many parts: written whole or not at all, and refused unless every byte is as listed.

A plain tar of flat names. What it holds, with the SHA-256 of each part, stands in a list at its
end, and the list's own SHA-256 after that: a file that was cut short anywhere lacks them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from ml_tasks.errors import ArchiveRefused, StorageError
from ml_tasks.storage import storage_errors

BACKUP, BUNDLE = "backup", "bundle"
_MAKERS = {BACKUP: "make restore", BUNDLE: "make install-bundle"}
_LIST = "manifest.json"
_SUM = "manifest.sha256"  # its content alone; so the archive's identity
_FORMAT = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,80}")
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20
_LIST_BYTES = 1 << 22  # a longer list is none of ours


@dataclass(frozen=True)
class Part:
    """One member: its length and hash, and where in the archive its bytes begin."""

    name: str
    size: int
    sha256: str
    offset: int


class Archive:
    """An archive whose every part was found to be as listed."""

    def __init__(self, path: Path, listed: bytes, parts: Mapping[str, Part]) -> None:
        self.path = path
        self.parts = parts
        self.about: dict[str, Any] = json.loads(listed)["about"]
        self.identity = hashlib.sha256(listed).hexdigest()  # of the list, so of every byte

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a part, which are checked once more.

        Raises:
            ArchiveRefused: there is no such part, or the file was changed since it was opened.
        """
        part = self.parts.get(name)
        if part is None:
            raise ArchiveRefused(f"{self.path} holds no {name}; it was made by another version")
        digest = hashlib.sha256()
        with self.path.open("rb") as stream:
            for chunk in _read(stream, part.offset, part.size):
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != part.sha256:
            raise ArchiveRefused(f"{self.path}: {name} was altered while it was read; copy it anew")


class ArchiveWriter:
    """Takes the parts one after the other, as streams of any length."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._parts: list[Part] = []
        self.about: dict[str, Any] = {}
        self.identity = ""  # once it is finished

    def add(self, name: str, chunks: Iterable[bytes]) -> Part:
        """Writes one part; its header, which states the length, is filled in afterwards."""
        if not _NAME.fullmatch(name) or any(name == part.name for part in self._parts):
            raise ValueError(f"{name!r} is no name for a part, or there is one already")
        start = self._stream.tell()
        self._stream.write(bytes(_BLOCK))
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            size += self._stream.write(chunk)
        self._stream.write(bytes(-size % _BLOCK))
        end = self._stream.tell()
        self._stream.seek(start)
        self._stream.write(_header(name, size))
        self._stream.seek(end)
        part = Part(name, size, digest.hexdigest(), start + _BLOCK)
        self._parts.append(part)
        return part

    def finish(self, kind: str) -> None:
        """Writes the list and the end; the archive has its identity then."""
        parts = {part.name: {"bytes": part.size, "sha256": part.sha256} for part in self._parts}
        content = {"format": _FORMAT, "kind": kind, "about": self.about, "parts": parts}
        listed = json.dumps(content, indent=1, sort_keys=True).encode()
        self.identity = hashlib.sha256(listed).hexdigest()
        self.add(_LIST, [listed])
        self.add(_SUM, [self.identity.encode()])
        self._stream.write(bytes(2 * _BLOCK))


@contextmanager
def new_archive(path: Path, kind: str) -> Iterator[ArchiveWriter]:
    """Yields the writer of an archive that is at `path` once the block ends well, for its owner.

    Raises:
        StorageError: something is there already, or it cannot be written; nothing is left then.
    """
    if path.exists():
        raise StorageError(f"{path} is there already; name another file, or move it away")
    work = path.with_name(f".{path.name}.{uuid4().hex[:8]}.{kind}.tmp")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent, kind)
        handle = os.open(work, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "r+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                writer = ArchiveWriter(stream)
                writer.about["made_at"] = datetime.now(UTC).isoformat(timespec="seconds")
                yield writer
                writer.finish(kind)
                stream.flush()
                os.fsync(stream.fileno())
                work.rename(path)
        finally:
            work.unlink(missing_ok=True)


def open_archive(path: Path, kind: str) -> Archive:
    """Reads an archive through and gives it, if all of it is as listed.

    Raises:
        ArchiveRefused: it is none, of another kind, cut short or altered; says which part.
    """
    try:
        with path.open("rb") as stream:
            members = _members(path, stream)
            listed = _list(path, kind, stream, members)
            parts = json.loads(listed)["parts"]
            if odd := sorted(set(parts) ^ set(members)):
                raise ArchiveRefused(f"{path}: {odd[0]} is missing, or not listed; {_COPY}")
            found = {
                name: _checked(path, stream, members[name], parts[name]) for name in sorted(parts)
            }
    except OSError as error:
        raise ArchiveRefused(f"{path} cannot be read: {error.strerror or error}") from error
    return Archive(path, listed, found)


def _members(path: Path, stream: BinaryIO) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                if not (member.isreg() and _NAME.fullmatch(member.name)) or member.name in found:
                    raise ArchiveRefused(
                        f"{path} is no archive of this pipeline: it holds {member.name!r}"
                    )
                found[member.name] = member
    except tarfile.TarError as error:
        raise ArchiveRefused(
            f"{path} is no archive of this pipeline, or it was cut short ({error}); {_COPY}"
        ) from error
    return found


def _list(path: Path, kind: str, stream: BinaryIO, members: dict[str, tarfile.TarInfo]) -> bytes:
    member, check = members.pop(_LIST, None), members.pop(_SUM, None)
    if member is None or check is None or max(member.size, check.size) > _LIST_BYTES:
        raise ArchiveRefused(
            f"{path} lacks {_LIST}: it is no archive of this pipeline, or it was cut short; {_COPY}"
        )
    listed, stated = (
        b"".join(_read(stream, each.offset_data, each.size)) for each in (member, check)
    )
    if hashlib.sha256(listed).hexdigest().encode() != stated:
        raise ArchiveRefused(f"{path}: {_LIST} was altered; {_COPY}")
    try:
        content = json.loads(listed)
        found, version = content["kind"], content["format"]
        entries = [(each["bytes"], each["sha256"]) for each in content["parts"].values()]
        sound = all(isinstance(size, int) and isinstance(name, str) for size, name in entries)
        sound = sound and isinstance(content["about"], dict)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        found, version, sound = None, None, False
    if not sound or found not in _MAKERS or version != _FORMAT:
        raise ArchiveRefused(f"{path}: {_LIST} is damaged, or of another version; {_COPY}")
    if found != kind:
        raise ArchiveRefused(f"{path} is a {found}, which `{_MAKERS[found]}` takes")
    return listed


def _checked(
    path: Path, stream: BinaryIO, member: tarfile.TarInfo, listed: Mapping[str, Any]
) -> Part:
    digest = hashlib.sha256()
    for chunk in _read(stream, member.offset_data, member.size):
        digest.update(chunk)
    if (member.size, digest.hexdigest()) != (listed["bytes"], listed["sha256"]):
        raise ArchiveRefused(f"{path}: {member.name} is not as listed (it was altered); {_COPY}")
    return Part(member.name, member.size, digest.hexdigest(), member.offset_data)


def _read(stream: BinaryIO, offset: int, size: int) -> Iterator[bytes]:
    stream.seek(offset)
    while size > 0:
        chunk = stream.read(min(size, _CHUNK))
        if not chunk:
            return  # cut short: its hash is another then
        size -= len(chunk)
        yield chunk


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.GNU_FORMAT)


def _remove_abandoned(folder: Path, kind: str) -> None:
    """What a killed writer left: nobody holds its lock any more."""
    for stale in folder.glob(f".*.????????.{kind}.tmp"):
        with stale.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            stale.unlink(missing_ok=True)


_COPY = "take another copy of it"
