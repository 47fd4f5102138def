"""Waiting for what comes by itself, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread

from ml_tasks.config_release import SmokeLimits

# Seconds for what takes a moment on a quiet machine: none that is only slow or busy takes so long.
PATIENCE = 180.0
# Limits of the smoke test that an image keeps to on such a machine, too. That they are enforced, is
# seen where they are tight (tests/docker/test_trials.py).
PATIENT = SmokeLimits(ready_seconds=PATIENCE, p95_ms=30_000, drain_seconds=60)
PATIENT_SETTINGS = {f"release.smoke.{name}": value for name, value in PATIENT}


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
