"""The mark of a restore that has begun: until it is through, nothing may start on what is there."""

from __future__ import annotations

import os
from pathlib import Path

from ml_tasks.errors import StackError
from ml_tasks.storage import write_bytes

NAME = ".env.restore"  # beside .env, and private like it; holds the archive's name


def mark(project: Path, archive: Path) -> None:
    """From now on, what is here is half of what it shall be."""
    write_bytes(project / NAME, f"{archive.absolute()}\n".encode())


def marked(project: Path) -> bool:
    """Whether a restore has begun here and is not through."""
    return (project / NAME).exists()


def unmark(project: Path) -> None:
    """Everything is there; it is on the disk when this returns."""
    (project / NAME).unlink(missing_ok=True)
    os.sync()


def refuse_unfinished(project: Path) -> None:
    """Refuses to go on with half a stack.

    Raises:
        StackError: a restore was interrupted; names its archive.
    """
    if marked(project):
        archive = (project / NAME).read_text().strip()
        raise StackError(
            f"a restore was interrupted here: run it again, it begins anew "
            f"(make restore FROM={archive}, with the ARGS of then)"
        )
