"""A web proxy that takes down who calls it and answers nobody."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


@dataclass(frozen=True)
class Proxy:
    """Its address, and the first bytes of every call so far."""

    address: str
    calls: list[bytes] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Sends every call to an outside address through this proxy."""
        return dict.fromkeys(_VARIABLES, self.address)


@contextmanager
def proxy() -> Iterator[Proxy]:
    """A proxy on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Proxy(f"http://127.0.0.1:{listener.getsockname()[1]}")
        Thread(target=_listen, args=(listener, found.calls), daemon=True).start()
        yield found


def _listen(listener: socket.socket, calls: list[bytes]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # closed
            return
        with connection:
            calls.append(connection.recv(1000))
