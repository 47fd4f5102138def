"""Folders of the shared volume as a stream, and such a stream as folders again."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Literal, cast

from ml_tasks.deployment.streams import ChunkReader
from ml_tasks.errors import ArchiveRefused, StackError

_CHUNK = 1 << 20
_ALIKE: Literal[1] = 1  # tarfile.GNU_FORMAT: long names and large files alike
# What writers on the volume leave beside what they are at; none of it is ever read.
_PASSING = (".tmp", ".old", ".lock")


def packed(root: Path, names: Iterable[str]) -> Iterator[bytes]:
    """A tar of the files and folders `names` below `root`, in this order; what is missing is left
    out, and what disappears meanwhile.

    Raises:
        StackError: there is something besides files and folders, or it may not be read.
    """
    return packed_as({name: root / name for name in names})


def packed_as(places: Mapping[str, Path]) -> Iterator[bytes]:
    """As `packed`, of files and folders from anywhere under the names that they shall have."""
    for name, path in places.items():
        # A folder that lies on another disk, behind a link, is a folder all the same.
        for each, inside in _within(path.resolve(), name):
            yield from _entry(each, inside)
    yield bytes(2 * tarfile.BLOCKSIZE)


def unpack(chunks: Iterable[bytes], root: Path, owner: Callable[[int], int] | None) -> list[str]:
    """Makes below `root` what a tar holds; gives the names at its top.

    `owner` gives the user whom a file shall belong to, by the one in the tar; without it everything
    belongs to who runs this.

    Raises:
        ArchiveRefused: a name leads out of `root`, or is of no file or folder; or it is damaged.
    """
    tops: dict[str, None] = {}
    folders: list[tuple[Path, tarfile.TarInfo]] = []
    reader = cast(IO[bytes], ChunkReader(chunks))
    try:
        with tarfile.open(fileobj=reader, mode="r|") as tar:
            for member in tar:
                parts = _safe(member)
                tops[parts[0]] = None
                path = root.joinpath(*parts)
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                    folders.append((path, member))
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(cast(IO[bytes], tar.extractfile(member)), path)
                _dress(path, member, owner)
    except tarfile.TarError as error:
        raise ArchiveRefused(f"a part of the archive is no tar ({error}); make it anew") from error
    for path, member in reversed(folders):  # last: filling a folder changes its time
        _dress(path, member, owner)
    return list(tops)


def _within(path: Path, name: str) -> Iterator[tuple[Path, str]]:
    """A file, or a folder and all below it, each folder before what is in it; with their names."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    yield path, name
    if not stat.S_ISDIR(mode):
        return
    try:
        names = sorted(entry.name for entry in os.scandir(path))
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise StackError(f"{path} may not be read by this user; run this as its owner") from error
    for each in names:
        if not (each.startswith(".") and each.endswith(_PASSING)):
            yield from _within(path / each, f"{name}/{each}")


def _entry(path: Path, name: str) -> Iterator[bytes]:
    try:
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            yield _head(name, found, tarfile.DIRTYPE)
            return
        if not stat.S_ISREG(found.st_mode):
            raise StackError(
                f"{path} is neither file nor folder, which cannot be kept; put what it points to "
                "in its place, or remove it"
            )
        with path.open("rb") as stream:
            # Of the open file: under its name another may stand by now.
            found = os.fstat(stream.fileno())
            yield _head(name, found, tarfile.REGTYPE)
            yield from _exactly(stream, found.st_size, path)
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise StackError(f"{path} may not be read by this user; run this as its owner") from error


def _exactly(stream: IO[bytes], size: int, path: Path) -> Iterator[bytes]:
    """As many bytes as there were; what is appended meanwhile is for the next backup."""
    left = size
    while left:
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            raise StackError(f"{path} became shorter while it was copied; try again")
        left -= len(chunk)
        yield chunk
    yield bytes(-size % tarfile.BLOCKSIZE)


def _head(name: str, found: os.stat_result, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, stat.S_IMODE(found.st_mode)
    info.uid, info.gid, info.mtime = found.st_uid, found.st_gid, int(found.st_mtime)
    info.size = found.st_size if kind == tarfile.REGTYPE else 0
    return info.tobuf(_ALIKE, "utf-8", "surrogateescape")


def _safe(member: tarfile.TarInfo) -> tuple[str, ...]:
    parts = PurePosixPath(member.name).parts
    if not parts or parts[0] == "/" or ".." in parts or not (member.isreg() or member.isdir()):
        raise ArchiveRefused(
            f"the archive holds {member.name!r}, which would lie elsewhere or is no file; it was "
            "not made by this pipeline, or altered"
        )
    return parts


def _write(source: IO[bytes], path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        while chunk := source.read(_CHUNK):
            stream.write(chunk)


def _dress(path: Path, member: tarfile.TarInfo, owner: Callable[[int], int] | None) -> None:
    if owner is not None:
        os.chown(path, owner(member.uid), member.gid)
    path.chmod(member.mode & 0o2777)
    os.utime(path, (member.mtime, member.mtime))
