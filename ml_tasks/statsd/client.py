"""Airflow's StatsD client, which looks the bridge's address up again and again."""

from __future__ import annotations

import socket
import time

from statsd import StatsClient

EVERY_SECONDS = 15.0


class ResolvingClient(StatsClient):  # type: ignore[misc]  # the package ships no types
    """Finds a bridge that came back at another address, or that came after Airflow.

    The plain client looks the name up once, when it is made: a container started anew often has
    another address, and a scheduler that runs for months would then speak to nobody.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8125,
        prefix: str | None = None,
        ipv6: bool = False,
    ) -> None:
        self._place = (host, port)
        self._family = socket.AF_INET6 if ipv6 else socket.AF_INET
        self._found, self._next_look = False, 0.0
        # An address needs no look-up, so this cannot fail where the bridge is not there yet.
        super().__init__("::1" if ipv6 else "127.0.0.1", port, prefix, ipv6=ipv6)

    def _send(self, data: str) -> None:
        if time.monotonic() >= self._next_look:
            self._look()
        if self._found:
            super()._send(data)

    def _look(self) -> None:
        self._next_look = time.monotonic() + EVERY_SECONDS
        try:
            found = socket.getaddrinfo(*self._place, self._family, socket.SOCK_DGRAM)
        except OSError:
            return  # the last address stands; where there was none, nothing is sent
        self._addr, self._found = found[0][4], True
