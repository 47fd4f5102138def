"""deploy_service in a process that kills itself, as a lost worker would end, before a step of it.

A step is whatever leaves this process: a connection, a request to the engine, a file opened for
writing, a rename. It is named by its number or, a request, by words of it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from ml_tasks.config import load_config
from ml_tasks.deploy_service import follow_production
from ml_tasks.errors import MammoError
from ml_tasks.release.engine import connect
from ml_tasks.release.service_place import ServicePlace

_STEPS = ("socket.connect", "http.client.send", "os.rename", "os.truncate", "os.mkdir")
_WRITES = os.O_WRONLY | os.O_RDWR


def main(file: str, network: str, at: str) -> int:
    """Prints the steps it took, if it was let live."""
    config, client, steps = load_config(Path(file)), connect(), 0
    place = ServicePlace(network, config.paths.statistics)

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
        follow_production(config, client, place)
    except MammoError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}")
        return 1
    sys.stdout.write(str(steps))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3]))
