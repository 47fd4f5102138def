"""Which code made a model: one hash over this package, and the revision it was checked out at."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
from pathlib import Path

import ml_tasks
from ml_tasks.storage import sha256_file

log = logging.getLogger(__name__)

_CODE = (".py", ".js", ".css", ".html", ".svg")  # the page ships in the image, too
_PATIENCE = 20  # seconds; on a slow network folder `git status` takes its time


def code_sha256() -> str:
    """Hex SHA-256 over every module of this package and the service's page, by name and content."""
    root = Path(ml_tasks.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(each for each in root.rglob("*") if each.suffix in _CODE):
        digest.update(f"{path.relative_to(root).as_posix()} {sha256_file(path)}\n".encode())
    return digest.hexdigest()


def source_revision(folder: Path | None = None) -> str | None:
    """The commit that this package (or `folder`) is checked out at; "-dirty" where files differ.

    None without git, or where git does not hold the code: an installed copy in somebody's
    repository is not of that repository.
    """
    folder = folder or Path(ml_tasks.__file__).parent
    held = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    revision = _git(folder, "rev-parse", "--verify", "HEAD") if held else None
    if not revision:
        log.info("no git revision is known of %s; lineage.json names the code by its hash", folder)
        return None
    top = _git(folder, "rev-parse", "--show-toplevel")
    changes = _git(Path(top), "status", "--porcelain") if top else None
    return revision if changes == "" else f"{revision}-dirty"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None where it fails or is not there."""
    # A hook or another tool may have set where git is to look instead.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
