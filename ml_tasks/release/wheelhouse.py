"""The wheels that a lock names, downloaded once; images are built of them without an index."""

from __future__ import annotations

import hashlib
import logging
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from packaging.markers import Marker

from ml_tasks.errors import ReleaseError
from ml_tasks.release.locks import LockEntry, lock_text
from ml_tasks.storage import replaced_directory

log = logging.getLogger(__name__)

_PYTHON = "3.11"  # of the Python base
_GLIBC = 36  # minor version, of Debian bookworm: newer wheels would not load
_COMPLETE = "complete"
_LOCK = "lock.txt"
# Markers are judged for the image's Python, not for the one that runs this. Which release of 3.11
# the base has is not known here: what only some of them want is downloaded for all.
_PLACES: tuple[dict[str, str], ...] = tuple(
    {
        "implementation_name": "cpython",
        "implementation_version": full,
        "platform_python_implementation": "CPython",
        "python_full_version": full,
        "python_version": _PYTHON,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
    }
    for full in (f"{_PYTHON}.0", f"{_PYTHON}.99")
)


def ensure_wheels(lock: Iterable[LockEntry], cache: Path, whose: str) -> Path:
    """The folder below `cache` with every wheel that `lock` names; downloaded once for each lock.

    `whose` completes "downloading the wheels of ...".

    Raises:
        ReleaseError: the package index cannot be reached, or a hash differs.
    """
    text = lock_text(_unconditional(entry) for entry in lock if wanted(entry))
    name = f"{hashlib.sha256(text.encode()).hexdigest()[:12]}-{platform.machine()}"
    folder = cache / name
    if (folder / _COMPLETE).exists():
        return folder
    started = time.monotonic()
    log.info("downloading the wheels of %s", whose)
    with replaced_directory(folder) as work:
        (work / _LOCK).write_text(text)
        _download(work / _LOCK, work, whose)
        (work / _COMPLETE).touch()
    wheels = list(folder.glob("*.whl"))
    total = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    log.info("%d wheels, %.0f MB in %.0f s", len(wheels), total, time.monotonic() - started)
    return folder


def wanted(entry: LockEntry) -> bool:
    """Whether some release of the image's Python installs this entry."""
    if not entry.marker:
        return True
    return any(Marker(entry.marker).evaluate(place) for place in _PLACES)


def _unconditional(entry: LockEntry) -> LockEntry:
    if not entry.marker:
        return entry
    head, _, hashes = entry.text.partition("\n")
    return replace(entry, marker="", text=f"{head.partition(';')[0].rstrip()} \\\n{hashes}")


def _download(lock: Path, folder: Path, whose: str) -> None:
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(_GLIBC, 4, -1)]
    tags += [f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--only-binary=:all:", "--implementation=cp"]
    command += [f"--python-version={_PYTHON}", *(f"--platform={tag}" for tag in tags)]
    command += ["--dest", str(folder), "--requirement", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise ReleaseError(
            f"the wheels of {whose} could not be downloaded:\n{tail}\n"
            "see that pip reaches its package index, then try again"
        )
