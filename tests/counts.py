"""How many generated cases a test tries: few in `make test`, all in `make test-full`."""

from __future__ import annotations

import os


def cases(reduced: int, full: int) -> int:
    """`full` where MAMMO_FULL is set, else `reduced`."""
    return full if os.environ.get("MAMMO_FULL") else reduced
