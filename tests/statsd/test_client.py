"""Airflow's client, against real sockets: the bridge comes late, and comes back elsewhere."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from ml_tasks.statsd import client as module
from ml_tasks.statsd.client import ResolvingClient


@pytest.fixture
def bridges() -> Iterator[tuple[socket.socket, socket.socket]]:
    """One port at two loopback addresses, as one bridge before and after it was started anew."""
    first = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    first.bind(("127.0.0.2", 0))
    second = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    second.bind(("127.0.0.3", first.getsockname()[1]))
    for one in (first, second):
        one.settimeout(0.5)
    with first, second:
        yield first, second


def test_it_follows_a_bridge_to_another_address(
    bridges: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, str] = {}
    real = socket.getaddrinfo

    def look_up(host: str, *rest: object) -> object:
        if host == "statsd" and host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return real(names.get(host, host), *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.0)
    client = ResolvingClient("statsd", bridges[0].getsockname()[1], "airflow")
    client.incr("before")  # nobody there: lost, and no error
    names["statsd"] = "127.0.0.2"
    client.incr("first")
    assert bridges[0].recv(100) == b"airflow.first:1|c"
    names["statsd"] = "127.0.0.3"
    client.incr("second")
    assert bridges[1].recv(100) == b"airflow.second:1|c"
    del names["statsd"]  # the name service is away: the last address stands
    client.incr("third")
    assert bridges[1].recv(100) == b"airflow.third:1|c"
    client.close()


def test_it_looks_the_name_up_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, *rest: object) -> object:
        looked.append(host)
        return real(host, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    client = ResolvingClient("localhost", 9)
    for _ in range(5):
        client.incr("a")
    assert looked.count("localhost") == 1
    client.close()
