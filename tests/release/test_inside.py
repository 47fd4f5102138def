"""What is asked inside of the container: no route at all is no way out."""

from __future__ import annotations

import errno
import socket

import pytest

from ml_tasks.release import inside


class Unreachable(socket.socket):
    """A socket of a place without any route, as in an internal network of Docker 26 and later."""

    def connect_ex(self, _: object) -> int:
        return errno.ENETUNREACH


def test_where_there_is_no_route_nobody_outside_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says so at once; `select` then names such a socket, and without an error."""
    monkeypatch.setattr(socket, "socket", Unreachable)
    assert inside.way_out() == ""


def test_who_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        refusing = socket.socket()
        refusing.bind(("127.0.0.2", 0))  # bound, but it does not listen
        addresses = (server.getsockname(), refusing.getsockname())
        monkeypatch.setattr(inside, "OUTSIDE", addresses)
        with refusing:
            assert set(inside.way_out().split(", ")) == {"127.0.0.1", "127.0.0.2"}
