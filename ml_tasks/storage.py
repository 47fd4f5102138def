"""Writing so that nothing half-written is ever read: temporary sibling, fsync, rename."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from ml_tasks.errors import StorageError

_MANY = 500
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in chunks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces `path` by `data` in one step.

    Raises:
        StorageError: no space left or not writable; the old file stands unchanged.
    """
    temporary = path.parent / f".{path.name}.{uuid4().hex[:8]}.tmp"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Replaces `path` by `content` as indented JSON with sorted keys; NaN is refused."""
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


@contextmanager
def replaced_directory(
    path: Path, owned: Callable[[Path], bool] = lambda _: True
) -> Iterator[Path]:
    """Yields an empty sibling directory that takes the place of `path` once the block ends well.

    `owned` says whether a directory that already stands at `path` may be replaced: a folder that
    this package did not write is never removed.

    Raises:
        StorageError: no space left, or `path` holds something else; what stood there is unchanged.
    """
    path = path.resolve()  # a link to a folder on another disk stays a link
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or owned(path))):
        raise StorageError(
            f"{path} holds files that were not written by this stage; "
            "name another output folder, or move it away"
        )
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        work = path.parent / f".{path.name}.{uuid4().hex[:8]}.tmp"
        work.mkdir()
        try:
            yield work
            fsync_tree(work)
            put_in_place(work, path)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def put_in_place(work: Path, path: Path) -> None:
    """Renames `work` to `path`; a directory that stood there is removed afterwards."""
    old = path.parent / f".{path.name}.{uuid4().hex[:8]}.old"
    if path.exists():
        path.rename(old)
    work.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(path: Path, older_than: float = 0) -> None:
    """Removes what a killed writer of `path` left; brings back the old directory if it must.

    Where several may write at once, `older_than` (seconds) spares what another one is at.
    """
    olds = sorted(path.parent.glob(f".{path.name}.????????.old"))
    if olds and not path.exists():
        olds.pop().rename(path)
    for stale in [*olds, *path.parent.glob(f".{path.name}.????????.tmp")]:
        if _age(stale) < older_than:
            continue
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Seconds since a path was last written; 0 where it has gone meanwhile."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return 0.0


def fsync_tree(root: Path) -> None:
    """Flushes every file and directory below `root` to the disk."""
    entries = sum(1 + len(names) for _, _, names in os.walk(root))
    if entries > _MANY:
        os.sync()  # one flush of all disks takes less time than thousands of single ones
        return
    for folder, _, names in os.walk(root):
        for entry in [*(os.path.join(folder, name) for name in names), folder]:
            if os.path.islink(entry):
                continue
            handle = os.open(entry, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock beside `path`; the system gives it back if this process is killed.

    Raises:
        StorageError: the lock file cannot be made.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / f".{path.name}.lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _in_the_way(path: Path) -> Path | None:
    """The file that stands where one of the folders above `path` should be."""
    return next((each for each in path.parents if each.exists() and not each.is_dir()), None)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns "no space left", "permission denied" and a file in the way into a StorageError."""
    try:
        yield
    except shutil.Error as error:  # of a copied tree: its reasons are texts, without a number
        if os.strerror(errno.ENOSPC) in str(error):
            raise StorageError(
                f"no space left while writing {path}; nothing was replaced. "
                "Free some space on that disk and run the stage again"
            ) from error
        raise
    except OSError as error:
        if error.errno == errno.ENOTDIR or (error.errno == errno.EEXIST and _in_the_way(path)):
            raise StorageError(
                f"{path} cannot be written: a file stands where a folder is needed; move "
                f"{_in_the_way(path) or path} away, or name another folder"
            ) from error
        if error.errno in _NO_ROOM:
            raise StorageError(
                f"no space left while writing {path} ({error.strerror}); nothing was replaced. "
                "Free some space on that disk and run the stage again"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError(
                f"{path} cannot be written ({error.strerror}); "
                "give this user the right to write there, or name another folder"
            ) from error
        raise
