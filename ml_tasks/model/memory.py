"""Out of memory: once more with half the batch and the same effect, then an error with advice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from ml_tasks.errors import TrainingError
from ml_tasks.model.backend import forget_networks

log = logging.getLogger(__name__)

T = TypeVar("T")

# TensorFlow's and PyTorch's own errors, and how XLA words it on every backend.
_KINDS = {"ResourceExhaustedError", "OutOfMemoryError"}
_WORDS = ("RESOURCE_EXHAUSTED", "out of memory", "OOM when allocating")


def out_of_memory(error: BaseException) -> bool:
    """Whether the backend could not have the memory that it asked for."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & _KINDS) or any(word in str(error) for word in _WORDS)


def _in_short(error: BaseException) -> str:
    """The line of a long message that tells what was asked for."""
    lines = str(error).strip().splitlines()
    return next((line for line in lines if any(word in line for word in _WORDS)), lines[0])[:300]


def within_memory(attempt: Callable[[int], T], batch_size: int, holders: Callable[[], str]) -> T:
    """`attempt(1)`; if that runs out of memory `attempt(2)`: each batch in two halves.

    `attempt` begins anew or at its last checkpoint. `holders` says who holds the memory.

    Raises:
        TrainingError: half a batch is too much as well.
    """
    for parts in (1, 2):
        size = batch_size // parts
        try:
            return attempt(parts)
        except Exception as error:
            if isinstance(error, TrainingError) or not out_of_memory(error):
                raise
            reason = _in_short(error)
        # Only here, outside of the except block, nothing holds the failed attempt any more.
        forget_networks()
        log.warning("out of memory with batches of %d (%s)", size, reason)
        if parts == 1:
            log.warning(
                "trying again with two batches of %d for each update; it counts as one of %d",
                batch_size // 2,
                batch_size // 2 * 2,
            )
    raise TrainingError(
        f"out of memory again, with batches of {size} ({reason}); set training.batch_size (now "
        f"{batch_size}) to {max(2, size // 2)} or less, or free the device's memory: {holders()}"
    )
