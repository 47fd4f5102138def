"""Ending on SIGTERM: Airflow's clear and stop buttons send it and, 5 s later, SIGKILL."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ml_tasks.errors import TrainingStopped


class _Asked(BaseException):
    """Like KeyboardInterrupt no Exception: TensorFlow wraps those that pass through its tracing."""


class StopRequest:
    """Whether the process was asked to end, and whether it may do so at once."""

    def __init__(self) -> None:
        self._asked = False
        self._held = False

    def ask(self) -> None:
        """Ends training at the next Python instruction, unless a checkpoint is being written."""
        self._asked = True
        if not self._held:
            raise _Asked

    def check(self) -> None:
        """Ends training if that was asked for: called between batches.

        A request whose exception was lost, as in a destructor, is met here.
        """
        if self._asked:
            raise _Asked

    @contextmanager
    def held(self) -> Iterator[None]:
        """Puts the end off until the block is through."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.check()


@contextmanager
def stopping_at_sigterm(kept: Callable[[], str]) -> Iterator[StopRequest]:
    """Within the block SIGTERM ends training between two batches, or where no batch runs, at once.

    `kept` says what of the training is kept. Outside of the main thread, where Python
    allows no handlers, SIGTERM does what it did before.

    Raises:
        TrainingStopped: SIGTERM came.
    """
    request, process = StopRequest(), os.getpid()

    def handler(*_: Any) -> None:
        if os.getpid() == process:  # not in a forked child
            request.ask()

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, handler) if in_main_thread else None
    try:
        yield request
    except _Asked:
        raise TrainingStopped(
            f"SIGTERM asked this process to end; {kept()}. "
            "Run train again: it goes on after its last complete epoch"
        ) from None
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)
