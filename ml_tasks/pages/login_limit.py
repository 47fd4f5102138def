"""Refuses a client that guesses passwords: Airflow limits its login page, not its token addresses.

ASGI, with nothing but the standard library: it stands before Airflow's own app.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

FAILURES = 10
SECONDS = 60.0
_CLIENTS = 4096  # remembered at most: the oldest is forgotten first
_ADDRESSES = ("/auth/token", "/auth/api/v1/security/login")
_WORDS = b'{"detail":"Too many failed logins from this address: wait a minute."}'


class LoginLimit:
    """Answers 429 to a client after ten refused passwords within a minute.

    Successful logins do not count: a program may ask for one token after another.
    """

    def __init__(self, app: App, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if not _is_login(scope):
            await self._app(scope, receive, send)
            return
        client = (scope.get("client") or ("",))[0]
        wait = self._wait(client)
        if wait > 0:
            await _refuse(send, wait)
            return

        # Noted before it is answered: many tries at once must not all be let through.
        begun = self._note(client)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] not in (401, 403):
                self._forget(client, begun)
            await send(message)

        await self._app(scope, receive, noted)

    def _wait(self, client: str) -> float:
        """Seconds until this client may try again."""
        failed = self._failed.get(client, deque())
        now = self._clock()
        while failed and failed[0] <= now - SECONDS:
            failed.popleft()
        return failed[0] + SECONDS - now if len(failed) >= FAILURES else 0.0

    def _note(self, client: str) -> float:
        begun = self._clock()
        self._failed.setdefault(client, deque(maxlen=FAILURES)).append(begun)
        self._failed.move_to_end(client)
        while len(self._failed) > _CLIENTS:
            self._failed.popitem(last=False)
        return begun

    def _forget(self, client: str, begun: float) -> None:
        failed = self._failed.get(client, deque())
        if begun in failed:
            failed.remove(begun)


def _is_login(scope: Message) -> bool:
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
    return path.rstrip("/").startswith(_ADDRESSES)


async def _refuse(send: Send, wait: float) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"retry-after", str(int(wait) + 1).encode()),
    ]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": _WORDS})
