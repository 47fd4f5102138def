"""Waiting for what comes by itself, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(happened: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Returns once it has happened; fails with `otherwise` if it has not in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)
