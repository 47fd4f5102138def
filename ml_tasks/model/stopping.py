"""Ending on SIGTERM: Airflow's clear and stop buttons send it and, 5 s later, SIGKILL."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ml_tasks.errors import TrainingStopped

log = logging.getLogger(__name__)

# Seconds that a batch may still take before the process ends in the middle of it; then SIGKILL is
# a second away.
PATIENCE = 4.0


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

    A batch that takes longer than Airflow waits ends with its process. `kept` says what of the
    training is kept. Outside of the main thread, where Python allows no handlers, SIGTERM does what
    it did before.

    Raises:
        TrainingStopped: SIGTERM came.
    """
    request, process = StopRequest(), os.getpid()

    def handler(*_: Any) -> None:
        if os.getpid() == process:  # not in a forked child
            request.ask()

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with _ended_when_patience_ends(kept):
            yield request
    except _Asked:
        # Python would look through the millions of objects of a traced network once more at its
        # end, which takes it longer than is left: 4 s and more with DenseNet-121 on two cores.
        gc.freeze()
        raise TrainingStopped(_said(kept)) from None
    finally:
        signal.signal(signal.SIGTERM, before)


# The descriptors at which watchers are told of signals; a forked child must not write there.
_told: set[int] = set()


def _leave_to_parent() -> None:
    if _told:
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def _ended_when_patience_ends(kept: Callable[[], str]) -> Iterator[None]:
    """Ends the process if SIGTERM came and the block goes on: no handler runs within a batch."""
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    over = threading.Event()

    def watch() -> None:
        while number := reading.recv(1):  # a signal's, as soon as it comes
            if number[0] == signal.SIGTERM and not over.wait(PATIENCE):
                log.error("%s (in the middle of a batch, which takes long)", _said(kept))
                logging.shutdown()
                os._exit(TrainingStopped.exit_status)

    watcher = threading.Thread(target=watch, daemon=True, name="sigterm")
    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    _told.add(writing.fileno())
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        _told.discard(writing.fileno())
        over.set()
        writing.close()  # ends the watcher
        watcher.join()
        reading.close()


def _said(kept: Callable[[], str]) -> str:
    return (
        f"SIGTERM asked this process to end; {kept()}. "
        "Run train again: it goes on after its last complete epoch"
    )
