"""Writes a registry's data to standard output as a tar, complete even while somebody pushes.

Runs inside a container that has nothing of this package, as text given to its Python: it may import
the standard library alone.

A registry writes the layers of an image first, then the manifest, then the links that name them,
the tag's link last. Links are read here in the opposite order, tags first, and only then the data
that they name: whatever a link names was complete before the link was there. What no link names
(half an upload, what was pruned) is left out. Deleting is what could come between; who deletes
holds the lock of `production`, and so does the backup.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_ROOT = "docker/registry/v2"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_KINDS = ("_manifests/tags", "_manifests/revisions", "_layers")  # as they are to be read
_TRIES = 50


def copy_registry(folder: Path, target: IO[bytes]) -> list[str]:
    """Writes the tar; gives what is amiss in the registry itself: links to what it has lost."""
    root = folder / _ROOT
    links = dict(_links(root))
    amiss = []
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for path, digest in links.items():
            _add(tar, path.relative_to(folder), io.BytesIO(digest.encode()), len(digest))
        for digest in sorted(set(links.values())):
            data = blob(root, digest)
            try:
                with data.open("rb") as stream:
                    size = os.fstat(stream.fileno()).st_size
                    _add(tar, data.relative_to(folder), stream, size)
            except FileNotFoundError:
                amiss.append(digest)
    return amiss


def blob(root: Path, digest: str) -> Path:
    """Where the bytes of a digest lie."""
    name = digest.removeprefix("sha256:")
    return root / "blobs" / "sha256" / name[:2] / name / "data"


def _links(root: Path) -> Iterator[tuple[Path, str]]:
    repositories = [*_repositories(root / "repositories")]
    for kind in _KINDS:
        for repository in repositories:
            for path in _link_files(repository / kind):
                digest = _read(path)
                if digest:
                    yield path, digest


def _repositories(folder: Path) -> Iterator[Path]:
    """A name may have several parts, and what is uploaded comes and goes within."""
    for place, folders, _ in os.walk(folder):
        if any(name.startswith("_") for name in folders):
            yield Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("_"))


def _link_files(folder: Path) -> Iterator[Path]:
    """`current` before `index`, so that what a tag names is in its index, too."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        if "link" in files:
            yield Path(place) / "link"


def _read(path: Path) -> str | None:
    """What a link says; a writer may be in the middle of it. None where it has gone.

    Raises:
        SystemExit: it stays unreadable.
    """
    found = ""
    for _ in range(_TRIES):
        try:
            found = path.read_text()
        except FileNotFoundError:
            return None
        if _DIGEST.fullmatch(found):
            return found
        time.sleep(0.1)
    raise SystemExit(f"{path} holds {found[:80]!r}, which is no digest: the registry is damaged")


def _add(tar: tarfile.TarFile, name: Path, stream: IO[bytes], size: int) -> None:
    info = tarfile.TarInfo(name.as_posix())
    info.size, info.mode = size, 0o644
    tar.addfile(info, stream)


if __name__ == "__main__":
    for lost in copy_registry(Path(sys.argv[1]), sys.stdout.buffer):
        sys.stderr.write(f"the registry has lost {lost}\n")
