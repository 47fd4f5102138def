"""A process that kills itself, as a lost worker would end, right before a step that it is told.

A step is whatever leaves this process: a connection, a request to the engine, a file opened for
writing, a rename.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from ml_tasks.errors import MammoError

_STEPS = ("socket.connect", "http.client.send", "os.rename", "os.truncate", "os.mkdir")
_WRITES = os.O_WRONLY | os.O_RDWR


def killed_at(at: str, work: Callable[[], object]) -> int:
    """Does `work` up to the step `at`: its number or, of a request, words of it; 0 is no step.

    Prints the steps that it took, if it was let live; gives the exit status.
    """
    steps = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
        if writes or event in _STEPS:
            steps += 1
            asked = event == "http.client.send" and at.encode() in bytes(arguments[1])[:200]
            if steps == int(at) if at.isdigit() else asked:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        work()
    except MammoError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}")
        return 1
    sys.stdout.write(str(steps))
    return 0
