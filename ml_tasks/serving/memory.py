"""Memory that is free but still held by this process, given back to the system."""

from __future__ import annotations

import ctypes
import logging

log = logging.getLogger(__name__)


def give_memory_back() -> None:
    """Returns what the C library keeps for later; 40 MB once a model is loaded.

    Other C libraries than glibc know no such call, and keep what they like.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        log.debug("this C library gives no memory back on request")
