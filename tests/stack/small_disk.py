"""A small disk of its own for the shared volume, which a test can fill."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GIGABYTES = 6  # of a sparse file: it takes what is written to it
_BLOCK = 4096  # bytes


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mounts an ext4 file system at `folder`; whether that was allowed.

    Else the folder is made on the disk that holds it, which no test may fill.
    """
    folder.mkdir()
    image = folder.with_name(f"{folder.name}.ext4")
    mounted = os.geteuid() == 0 and _mount(image, folder)
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)
        image.unlink(missing_ok=True)


def _mount(image: Path, folder: Path) -> bool:
    with image.open("wb") as stream:
        stream.truncate(GIGABYTES << 30)
    # None is kept for root: the test, which fills the disk, may be root.
    commands = (
        ["mkfs.ext4", "-q", "-m", "0", str(image)],
        ["mount", "-o", "loop", str(image), str(folder)],
    )
    try:
        return all(
            subprocess.run(each, capture_output=True, check=False).returncode == 0
            for each in commands
        )
    except FileNotFoundError:  # no such program here
        return False


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Within the block, not one block is left on the disk."""
    filler = disk / "filler"
    try:
        with filler.open("wb") as stream:
            _take_all(stream.fileno(), disk)
        yield
    finally:
        filler.unlink(missing_ok=True)


def _take_all(handle: int, disk: Path) -> None:
    free = os.statvfs(disk)
    size, step = 0, free.f_bavail * free.f_frsize
    while step >= _BLOCK:
        try:
            os.posix_fallocate(handle, size, step)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            step //= 2
        else:
            size += step
