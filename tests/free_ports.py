"""Ports for servers that tests start later, and perhaps start again.

A port that the system draws is one that it may draw again, for any connection that goes out, once
the test has let go of it. These lie below that range. Each of the two test processes of `make test`
has a part of its own, and begins at a place of its own in it, for a second test run beside this.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

_DRAWN_BY_THE_SYSTEM = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST, _END = 20_000, 32_000
_FEWEST = 2_000  # of these, that must lie below the system's range: else they may lie within it
_PROCESSES = 2
_APART = 97  # ports between the beginnings of two processes whose ids follow one another


def free_ports(count: int) -> list[int]:
    """Ports free for TCP and UDP on every address; this process is given none of them again."""
    found = list(islice(_free, count))
    assert len(found) == count, "this test process was given every port that is free"
    return found


def _own_ports() -> Iterator[int]:
    """Every port of this process once."""
    system = int(_DRAWN_BY_THE_SYSTEM.read_text().split()[0])
    end = min(_END, system) if system >= _FIRST + _FEWEST else _END
    processes = max(_PROCESSES, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = (end - _FIRST) // processes
    first = _FIRST + number % processes * size  # one that replaces a dead process counts on
    begin = os.getpid() * _APART
    return iter([first + (begin + step) % size for step in range(size)])


def _is_free(port: int) -> bool:
    """Whether nobody holds it, on whatever address."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for address in ("127.0.0.1", "0.0.0.0"):
            with socket.socket(socket.AF_INET, kind) as probe:
                try:
                    probe.bind((address, port))
                except OSError:
                    return False
    return True


_free = filter(_is_free, _own_ports())
