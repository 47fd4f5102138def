"""Tar archives whose bytes depend on nothing but their content: build contexts, image layers."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

_TIME = 1577836800  # 2020-01-01: any fixed moment that zip-minded tools accept
_CONTEXT_FILE = 0o644
_LAYER_FILE = 0o444  # whichever user the container runs as reads it, and nobody writes it
_FOLDER = 0o755

Parts = Mapping[str, Path | bytes]  # name in the archive -> file or bytes


def write_context(target: IO[bytes], parts: Parts) -> None:
    """Writes `parts` as an uncompressed tar for the engine to build from.

    Entries are sorted, owned by root, mode 0644, with one fixed time: the same parts give the same
    bytes, so the engine's build cache recognises them.
    """
    with _archive(target) as archive:
        for name in sorted(parts):
            _add(archive, name, parts[name], _CONTEXT_FILE)


def write_layer(target: IO[bytes], parts: Parts) -> None:
    """Writes `parts` as the uncompressed tar of an image layer, with the folders they lie in.

    Folders stand before what they hold, and have a time and a mode too: left out, the engine would
    make them up, with the time of the day.
    """
    with _archive(target) as archive:
        for folder in _folders(parts):
            entry = _entry(folder, 0, _FOLDER)
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        for name in sorted(parts):
            _add(archive, name, parts[name], _LAYER_FILE)


def _archive(target: IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT)


def _folders(parts: Parts) -> list[str]:
    found = {str(folder) for name in parts for folder in PurePosixPath(name).parents}
    return sorted(found - {"."})


def _add(archive: tarfile.TarFile, name: str, part: Path | bytes, mode: int) -> None:
    if isinstance(part, bytes):
        archive.addfile(_entry(name, len(part), mode), io.BytesIO(part))
        return
    with part.open("rb") as stream:
        archive.addfile(_entry(name, part.stat().st_size, mode), stream)


def _entry(name: str, size: int, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mtime = _TIME
    entry.mode = mode
    return entry
