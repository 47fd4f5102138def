"""Build contexts as tar archives whose bytes depend on nothing but their content."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

_TIME = 1577836800  # 2020-01-01: any fixed moment that zip-minded tools accept


def write_context(target: IO[bytes], parts: Mapping[str, Path | bytes]) -> None:
    """Writes `parts` (name in the archive -> file or bytes) as an uncompressed tar.

    Entries are sorted, owned by root, mode 0644, with one fixed time: the same parts give the same
    bytes, so the engine's build cache recognises them.
    """
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in sorted(parts):
            part = parts[name]
            if isinstance(part, bytes):
                archive.addfile(_entry(name, len(part)), io.BytesIO(part))
            else:
                with part.open("rb") as stream:
                    archive.addfile(_entry(name, part.stat().st_size), stream)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mtime = _TIME
    entry.mode = 0o644
    return entry
