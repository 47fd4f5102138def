"""Trying again what a registry did not take, with growing waits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential

from ml_tasks.errors import PushError, PushRefused, RegistryUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")


def patiently(attempts: int, action: Callable[[], T]) -> T:
    """Tries `action` up to `attempts` times while the registry fails, waiting 2, 4, 8 ... 60 s.

    Raises:
        PushError, RegistryUnavailable: the last failure. Anything else passes at once.
    """
    retrying = Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait_exponential(multiplier=2, max=60),
        retry=retry_if_exception(_worth_another_try),
        before_sleep=_announce(attempts),
        reraise=True,
    )
    return retrying(action)


def _worth_another_try(error: BaseException) -> bool:
    if isinstance(error, RegistryUnavailable):
        return True
    return isinstance(error, PushError) and not isinstance(error, PushRefused)


def _announce(attempts: int) -> Callable[[RetryCallState], None]:
    def announce(state: RetryCallState) -> None:
        log.warning(
            "attempt %d of %d: %s; trying again in %.0f s",
            state.attempt_number,
            attempts,
            state.outcome.exception() if state.outcome else "failed",
            state.next_action.sleep if state.next_action else 0,
        )

    return announce
