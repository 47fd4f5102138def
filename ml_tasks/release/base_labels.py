"""What a serving base says it was made of, and whether that is what is installed here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ml_tasks.errors import ReleaseError
from ml_tasks.storage import sha256_file

SOURCES = "mammography.sources-sha256"
LOCK = "mammography.lock-sha256"


def base_labels(sources: Mapping[str, Path], lock: Path) -> dict[str, str]:
    """The labels of a base made of these sources (name in the checkout -> file) and this lock."""
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{name} {sha256_file(sources[name])}\n".encode())
    return {SOURCES: digest.hexdigest(), LOCK: sha256_file(lock)}


def check_base_labels(
    reference: str, found: Mapping[str, str], expected: Mapping[str, str]
) -> None:
    """Refuses a base that another version of ml_tasks made, or that is none at all.

    Raises:
        ReleaseError: a label is missing or differs; names it with both values.
    """
    for name, value in expected.items():
        if found.get(name) != value:
            raise ReleaseError(
                f"{reference} is not the serving base of the installed ml_tasks: its label {name} "
                f"is {found.get(name, 'missing')[:12]}, here it is {value[:12]}. The service in it "
                "could answer otherwise than what was judged; remove that tag (docker rmi "
                f"{reference}), run `mammo serving-base` once, then clear this task"
            )
