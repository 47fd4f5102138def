"""Which code made a model: one hash over this package."""

from __future__ import annotations

import hashlib
from pathlib import Path

import ml_tasks
from ml_tasks.storage import sha256_file


def code_sha256() -> str:
    """Hex SHA-256 over every module of this package, by name and content."""
    root = Path(ml_tasks.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()} {sha256_file(path)}\n".encode())
    return digest.hexdigest()
