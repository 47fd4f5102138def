"""Lines of a file that only grows: each is sealed by a checksum over it and the one before.

So an edited, lost or moved line is noticed. A line is one JSON object in ASCII, its last entry the
checksum.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_CHECK = "check"


def sealed(entry: Mapping[str, Any], before: str, digits: int = 64) -> str:
    """The entry as a line that follows the line `before` ("" for the first).

    `digits` of the SHA-256 (hex) are kept.
    """
    text = json.dumps(entry)
    check = hashlib.sha256(f"{before}\n{text}".encode("ascii")).hexdigest()[:digits]
    return json.dumps({**entry, _CHECK: check})


def intact(line: str, before: str, digits: int = 64) -> dict[str, Any] | None:
    """The entry of a line; None where it is damaged, was edited, or does not follow `before`."""
    try:
        entry: dict[str, Any] = json.loads(line)
        del entry[_CHECK]
        return entry if sealed(entry, before, digits) == line else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
