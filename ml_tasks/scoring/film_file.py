"""One planned file as bytes: exactly the file that was planned, from inside of the folder."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from ml_tasks.errors import ImageRejected, ImagesUnreachable
from ml_tasks.imaging.limits import check_file_size
from ml_tasks.scoring.listing import Listed

# A network disk that is away, not a file that is bad: the same read may succeed later.
_AWAY = (errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH)
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not block


def read_film(folder: Path, planned: Listed) -> bytes:
    """The bytes of a planned file.

    Raises:
        ImageRejected: `no_file`, `missing`, `changed`, `not_readable` or `too_large`.
        ImagesUnreachable: the whole folder is gone or empty, as a network disk that is away.
    """
    if planned.size is None:
        raise ImageRejected(
            "no_file",
            "no plain file, or a link to nothing, to itself or to outside of the folder",
        )
    try:
        return _read(folder, planned)
    except OSError as error:
        _check_reachable(folder, error)
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise ImageRejected("missing", "the file is gone since the batch was planned") from None
        raise ImageRejected(
            "not_readable", f"the file cannot be read ({error.strerror or error})"
        ) from error


def _read(folder: Path, planned: Listed) -> bytes:
    path = (folder / planned.file).resolve(strict=True)
    if not path.is_relative_to(folder):
        raise ImageRejected("no_file", "a link that leads to outside of the folder by now")
    handle = os.open(path, _FLAGS)
    try:
        _check_same(handle, planned)
        check_file_size(planned.size or 0)
        with open(handle, "rb", buffering=0, closefd=False) as stream:
            data = stream.readall()
        _check_same(handle, planned)
    finally:
        os.close(handle)
    if len(data) != planned.size:
        raise _changed()
    return data


def _check_same(handle: int, planned: Listed) -> None:
    now = os.fstat(handle)
    if not stat.S_ISREG(now.st_mode):
        raise ImageRejected("no_file", "no plain file any more")
    if (now.st_size, now.st_mtime_ns) != (planned.size, planned.modified_ns):
        raise _changed()


def _changed() -> ImageRejected:
    return ImageRejected(
        "changed", "the file was changed after the batch was planned; score it in a new batch"
    )


def _check_reachable(folder: Path, error: OSError) -> None:
    """Thousands of rows that say "gone" would hide that a disk is away."""
    try:
        with os.scandir(folder) as entries:
            if error.errno not in _AWAY and any(True for _ in entries):
                return
        why = error.strerror
    except OSError as away:
        why = away.strerror
    raise ImagesUnreachable(
        f"the folder {folder} is gone or empty since the batch was planned ({why}); is a network "
        "disk away? Bring it back and run this again: it goes on where it was"
    ) from error
