"""Reading raw files as the run's manifest recorded them: another content is refused, never used."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ml_tasks.errors import DataError


def read_unchanged(path: Path, sha256: str) -> bytes:
    """The bytes of a raw file, if they are still those of the run's snapshot.

    Raises:
        DataError: the file is gone or has changed since validate_data.
    """
    remedy = "put it back as it was, or clear validate_data to take in the change"
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{path} vanished after validate_data ({reason}); {remedy}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{path} changed after validate_data; {remedy}")
    return data
