"""Log lines that a person can read: progress now and then, no control characters."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def log_to_terminal() -> None:
    """Sends this package's log lines to stderr, one plain line each."""
    logger = logging.getLogger("ml_tasks")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
        logger.propagate = False  # libraries install root handlers of their own
    logger.setLevel(logging.INFO)


def counted(
    items: Iterable[T], total: int, verb: str, log: logging.Logger, every_seconds: float = 5.0
) -> Iterator[T]:
    """Passes the items on; logs a line every few seconds and one at the end."""
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= every_seconds and done < total:
            last = now
            left = (now - start) / done * (total - done)
            log.info("%s %d of %d, about %.0f s left", verb, done, total, left)
    log.info("%s %d of %d in %.1f s", verb, done, total, time.monotonic() - start)
