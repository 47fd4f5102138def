"""Says what config.yaml places where no backup would look.

Runs inside the workers' image, as text given to its Python, so that a backup needs no environment.
It reads these settings alone: a mistake elsewhere, or a setting that only another revision knows,
is no reason to go without a backup.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from os.path import normpath
from pathlib import Path
from typing import Any

_RUNS = "runs"  # a backup takes some of them only, and of each what a run leaves there


def misplaced(file: Path, folders: Iterable[str]) -> Iterator[str]:
    """Settings whose files a backup of `folders`, which lie beside `file`, would not hold.

    Raises:
        ValueError: the file is no YAML, or not of sections.
    """
    content, names = _content(file), list(folders)
    paths = _section(content, "paths", file)
    for name in names:
        found = _place(file, paths.get(name) or name)
        if found != file.parent / name:
            yield f"paths.{name} is {found}, and must be {name}"
    chosen = _section(content, "release", file).get("signing_key")
    if chosen is not None and not _is_kept(file, key := _place(file, chosen), names):
        name = key.name.lstrip(".")
        yield f"release.signing_key is {key}; move it to releases/{name} and name that"


def _is_kept(file: Path, key: Path, names: list[str]) -> bool:
    """Of the folders a backup takes what lies in them, but for hidden names at their top."""
    for place in (file.parent / name for name in names if name != _RUNS):
        if key.is_relative_to(place):
            return not key.relative_to(place).parts[0].startswith(".")
    return False


def _place(file: Path, value: object) -> Path:
    return Path(normpath(file.parent / Path(str(value)).expanduser()))


def _content(file: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is no valid YAML: {error}") from error
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error


def _section(content: Any, name: str, file: Path) -> dict[str, Any]:
    section = (content.get(name) or {}) if isinstance(content, dict) else content
    if not isinstance(section, dict):
        raise ValueError(f"{file} must hold sections such as `{name}:`, not {section!r}")
    return section


if __name__ == "__main__":
    try:
        for line in misplaced(Path(sys.argv[1]), sys.argv[2:]):
            sys.stdout.write(f"{line}\n")
    except ValueError as refused:
        sys.exit(str(refused))
