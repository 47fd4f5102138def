"""Log lines that a person can read: progress now and then, no control characters."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_LISTED = 50  # lines of one listing; a file in the run's folder holds all
_ESTIMATED_FROM = 0.05  # of the items: the first ones also start processes and fill caches


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
            if done < _ESTIMATED_FROM * total:
                log.info("%s %d of %d", verb, done, total)
            else:
                log.info("%s %d of %d, about %.0f s left", verb, done, total, left)
    log.info("%s %d of %d in %.1f s", verb, done, total, time.monotonic() - start)


@contextmanager
def folded(log: logging.Logger, title: str) -> Iterator[None]:
    """What is logged inside the block folds under `title` in Airflow's page.

    At a terminal the title is a plain line. What somebody must see belongs behind the block, too.
    """
    folds = bool(os.environ.get("AIRFLOW_CTX_DAG_ID"))
    log.info("::group::%s" if folds else "%s:", title)
    try:
        yield
    finally:
        if folds:
            log.info("::endgroup::")


def listed(log: logging.Logger, title: str, lines: Sequence[str], whole: str) -> None:
    """Warns of each of the lines, folded; `whole` names the file that holds all, if it is many."""
    if not lines:
        return
    with folded(log, title):
        for line in lines[:_LISTED]:
            log.warning("%s", line)
        if len(lines) > _LISTED:
            log.warning("... and %d more: see %s", len(lines) - _LISTED, whole)
