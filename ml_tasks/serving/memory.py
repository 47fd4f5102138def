"""Memory that films took and that is free again goes back to the system, not into store."""

from __future__ import annotations

import ctypes
import logging

log = logging.getLogger(__name__)

# mallopt(3) of glibc. Left to itself it keeps what it was once given for ever larger pieces, in
# a store for each thread: 290 MB after some hundred films, 265 MB so.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGE = 1024 * 1024  # bytes; such a piece is asked of the system, and given back when it is free
_STORES = 2


def keep_little() -> None:
    """Asks the C library to keep little that is free; others than glibc keep what they like."""
    try:
        library = ctypes.CDLL(None)
        for option, value in (
            (_TRIM_THRESHOLD, _LARGE),
            (_MMAP_THRESHOLD, _LARGE),
            (_ARENA_MAX, _STORES),
        ):
            library.mallopt(option, value)
    except (OSError, AttributeError):
        log.debug("this C library cannot be told what to keep")


def give_memory_back() -> None:
    """Returns what the C library still keeps; 40 MB once a model is loaded."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        log.debug("this C library gives no memory back on request")
