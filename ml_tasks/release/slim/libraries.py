"""The shared libraries that a set of programs and modules needs, and where they lie."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from ml_tasks.release.slim.lean_object import without_libraries
from ml_tasks.release.slim.shared_object import SharedObject

_LINE = re.compile(r"^\s+(\S+) \(libc6,x86-64[^)]*\) => (\S+)$", re.MULTILINE)


def libraries_of_the_system() -> dict[str, Path]:
    """Name -> file of every library that the loader of this machine knows."""
    listed = subprocess.run(
        ["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True
    ).stdout
    # The first of a name is the one that the loader takes.
    return {name: Path(path) for name, path in reversed(_LINE.findall(listed))}


def needed_libraries(file: Path, content: bytes, system: Mapping[str, Path]) -> dict[str, Path]:
    """Name -> file of what an object needs directly; `content` is it, as it will lie at `file`.

    Raises:
        ValueError: one is nowhere to be found.
    """
    parsed = SharedObject(content)
    folders = [Path(name.replace("$ORIGIN", str(file.parent))) for name in parsed.search_path]
    found: dict[str, Path] = {}
    for name in parsed.needed:
        beside = next((path for folder in folders if (path := folder / name).is_file()), None)
        place = beside or system.get(name)
        if place is None:
            raise ValueError(f"{file} needs {name}, which is nowhere to be found")
        found[name] = place
    return found


def without_uncalled(file: Path, patterns: tuple[str, ...], system: Mapping[str, Path]) -> bytes:
    """The object at `file` without the libraries whose names fit one of the patterns.

    Raises:
        ValueError: a pattern fits none of its libraries: the package has changed; look again.
    """
    content = file.read_bytes()
    needed = needed_libraries(file, content, system)
    dropped: dict[str, bytes] = {}
    for pattern in patterns:
        fitting = [name for name in needed if fnmatchcase(name, pattern)]
        if not fitting:
            raise ValueError(
                f"{file} no longer needs {pattern} but {', '.join(needed)}: see UNCALLED in "
                "left_out.py"
            )
        dropped |= {name: needed[name].read_bytes() for name in fitting}
    kept = [path.read_bytes() for name, path in needed.items() if name not in dropped]
    return without_libraries(content, dropped, kept)
