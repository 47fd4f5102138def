"""One hash over what the data are, wherever the folder lies and whenever it was read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from ml_tasks.dataset.announcement import TABLES
from ml_tasks.dataset.manifest import ManifestRow
from ml_tasks.storage import sha256_file

# Figures measured on the pixels are left out: they follow from the content and from the code.
_DECIDES = ("path", "sha256", "label", "patient", "status")


def data_sha256(rows: Iterable[ManifestRow], tables: Path) -> str:
    """Hex SHA-256 over every file's path, content, class, patient and status, and the two tables.

    `tables` is the folder of metadata.csv and lesions.csv; the path of the raw folder, times and
    the order of the rows do not count.
    """
    digest = hashlib.sha256()
    for line in sorted(json.dumps([getattr(row, name) for name in _DECIDES]) for row in rows):
        digest.update(f"{line}\n".encode("ascii"))
    for name in TABLES:
        path = tables / name
        digest.update(f"{name} {sha256_file(path) if path.is_file() else '-'}\n".encode("ascii"))
    return digest.hexdigest()
