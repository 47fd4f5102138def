"""How many generated cases a test tries: few in `make test`, all in `make test-full`."""

from __future__ import annotations

import os
from typing import TypeVar

Amount = TypeVar("Amount")


def cases(reduced: Amount, full: Amount) -> Amount:
    """`full` where MAMMO_FULL is set, else `reduced`."""
    return full if os.environ.get("MAMMO_FULL") else reduced
