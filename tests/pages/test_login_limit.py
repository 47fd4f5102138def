"""Guessing passwords: counted by address, forgotten after a minute, successes never counted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ml_tasks.pages.login_limit import FAILURES, SECONDS, LoginLimit, Message, Receive, Send


class Clock:
    """A time that passes when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Login:
    """An app that answers every login with `status`."""

    status = 401
    asked = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.asked += 1
        await asyncio.sleep(0)  # as a real one, it lets others go first
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def tries(limit: LoginLimit, count: int, path: str = "/auth/token", **scope: Any) -> list[int]:
    """The answers to so many tries at once."""
    answers: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answers.append(message["status"])

    async def receive() -> Message:
        return {"type": "http.request"}

    async def all_at_once() -> None:
        asked = {"type": "http", "method": "POST", "path": path, "client": ("192.0.2.1", 4711)}
        await asyncio.gather(*(limit(asked | scope, receive, send) for _ in range(count)))

    asyncio.run(all_at_once())
    return answers


def test_after_ten_refusals_nobody_looks_at_a_password() -> None:
    login, clock = Login(), Clock()
    limit = LoginLimit(login, clock)
    answers = tries(limit, FAILURES + 5)
    assert sorted(answers) == [401] * FAILURES + [429] * 5
    assert login.asked == FAILURES, "many tries at once must not all be let through"
    assert tries(limit, 1, client=("192.0.2.2", 1)) == [401], "another address is not refused"
    clock.now += SECONDS + 1
    assert tries(limit, 1) == [401]


def test_logins_that_succeed_are_never_counted() -> None:
    login = Login()
    limit = LoginLimit(login, Clock())
    login.status = 201
    for _ in range(5 * FAILURES):
        assert tries(limit, 1) == [201]


@pytest.mark.parametrize("path", ["/auth/token/cli", "/auth/token/", "/auth/api/v1/security/login"])
def test_every_address_that_takes_a_password_is_limited(path: str) -> None:
    limit = LoginLimit(Login(), Clock())
    assert tries(limit, FAILURES + 1, path)[-1] == 429 or 429 in tries(limit, 1, path)


@pytest.mark.parametrize(
    ("path", "method"), [("/api/v2/dags", "POST"), ("/auth/token", "GET"), ("/auth/login/", "POST")]
)
def test_everything_else_goes_through(path: str, method: str) -> None:
    limit = LoginLimit(Login(), Clock())
    assert tries(limit, 3 * FAILURES, path, method=method) == [401] * 3 * FAILURES
