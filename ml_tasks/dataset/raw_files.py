"""What lies in a raw folder: its class folders and their files, under names that can be written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ml_tasks.imaging.decode import SUFFIXES

READY = "_READY"  # put beside the class folders when a copy is complete
TAKEN = "_TAKEN-"  # what it is called once its data have been announced


def class_names(raw: Path) -> tuple[str, ...]:
    """The folders of a raw folder, sorted; hidden ones and the flags are passed over.

    Raises:
        OSError: the folder cannot be read.
    """
    return tuple(
        sorted(
            entry.name
            for entry in raw.iterdir()
            if entry.is_dir() and not entry.name.startswith((".", READY, TAKEN))
        )
    )


def class_files(raw: Path, name: str) -> list[Path]:
    """The files of a class folder and below it, sorted; hidden ones are passed over."""
    return sorted(
        path
        for path in (raw / name).rglob("*")
        if not path.name.startswith(".") and (path.is_symlink() or not path.is_dir())
    )


def written_name(path: Path) -> str:
    """A path below the raw folder with forward slashes; what is not UTF-8 is escaped."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def is_plain_file_below(file: Path, raw: Path) -> bool:
    """Whether it is a plain file, or a link to one, that lies in the raw folder."""
    try:
        return file.resolve().is_relative_to(raw.resolve()) and file.is_file()
    except (OSError, RuntimeError):  # a loop of links, or a folder that may not be entered
        return False


def count_images(names: Iterable[str]) -> int:
    """How many of these files are images by their names."""
    return sum(Path(name).suffix.lower() in SUFFIXES for name in names)
