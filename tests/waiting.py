"""Waiting for what comes by itself, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread

# Seconds for what takes a moment on a quiet machine: none that is only slow or busy takes so long.
PATIENCE = 180.0


def until(happened: Callable[[], object], otherwise: str, seconds: float = PATIENCE) -> None:
    """Returns once it has happened; fails with `otherwise` if it has not in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def ended(*threads: Thread) -> None:
    """Returns once the threads have ended; fails if one goes on."""
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"{thread.name} goes on"
