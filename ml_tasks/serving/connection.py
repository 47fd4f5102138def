"""One client's connection: uvicorn's, with limits on what comes before and after a request's body.

A request's head must arrive in time and is of limited size. A refused request's body is read on
for a while and thrown away: closed at once, the client would see a reset instead of the refusal.
A client may send few requests ahead of their answers, and must take its answers in time.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ml_tasks.serving.refusals import Refusal

_MOST_HEAD = 64 * 1024  # bytes of a request's path and headers
_HEADER_COST = 32  # bytes that any header counts for, however short
_HEAD_SECONDS = 30.0
_MOST_THROWN_AWAY = 16 * 1024 * 1024  # bytes of a body that came after its refusal
_THROWN_AWAY_SECONDS = 10.0
_MOST_AHEAD = 16  # requests that wait on one connection for the answers before theirs
_UNREAD_SECONDS = 60.0  # for an answer to be taken, after which its connection is cut


class Connection(HttpToolsProtocol):
    """The protocol that uvicorn makes for each connection."""

    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _head = _thrown_away = 0

    def connection_made(self, transport: Any) -> None:
        """A client connected: its request's head is awaited."""
        super().connection_made(transport)
        self._close_in(_HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._keep_open()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first bytes of a request came."""
        super().on_message_begin()
        if len(self.pipeline) >= _MOST_AHEAD:
            raise ValueError(f"over {_MOST_AHEAD} requests were sent ahead of their answers")
        self._head = self._thrown_away = 0
        if self._timer is None:
            self._close_in(_HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        """A part of the path came."""
        self._grow(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came."""
        self._grow(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there: from here on the app takes care of the time."""
        self._keep_open()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body came, perhaps after the request was answered."""
        if not self.cycle.response_complete:
            super().on_body(body)
            return
        self._thrown_away += len(body)
        if self._thrown_away > _MOST_THROWN_AWAY:
            self.transport.close()

    def on_message_complete(self) -> None:
        """The whole request was read."""
        self._keep_open()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer was sent; what is left of its request is thrown away for a while."""
        super().on_response_complete()
        if self._unread is not None:
            self._unread.cancel()
        if self.transport.get_write_buffer_size() > 0:
            self._unread = self.loop.call_later(_UNREAD_SECONDS, self._cut_unread)
        if self.cycle.more_body and self.cycle.response_complete:
            self._close_in(_THROWN_AWAY_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP, in the form of every refusal."""
        content = Refusal(error="bad_request", detail=msg).model_dump_json().encode()
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: "
        self.transport.write(
            STATUS_LINE[400] + head + str(len(content)).encode() + b"\r\n\r\n" + content
        )
        self.transport.close()

    def _cut_unread(self) -> None:
        """Ends a connection whose client does not read: closing would wait for it for ever."""
        if self.transport.get_write_buffer_size() > 0:
            self.transport.abort()

    def _grow(self, size: int) -> None:
        self._head += size + _HEADER_COST
        if self._head > _MOST_HEAD:
            raise ValueError(f"the head of the request is over {_MOST_HEAD} bytes")

    def _close_in(self, seconds: float) -> None:
        self._keep_open()
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _keep_open(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
