"""What every request passes through: the limit on its body and its one line in the log."""

from __future__ import annotations

import logging
import time

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)
_PROBES = ("/health", "/ready")


class BodyTooLarge(HTTPException):
    """The body grew over the limit while it was read; an HTTPException, so FastAPI lets it pass."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body is larger than {limit:,} bytes")


class BodyLimit:
    """Refuses bodies over `limit` bytes, by Content-Length or, chunked, as they grow."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if not stated.isdigit() or int(stated) > self.limit:
            content = {"error": "too_large", "detail": BodyTooLarge(self.limit).detail}
            refusal = JSONResponse(content, 413, headers={"connection": "close"})
            await refusal(scope, receive, send)
            return
        await self.app(scope, _counted(receive, self.limit), send)


class RequestLog:
    """One line for each request: method, path, status, bytes and time; never a file name."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            quiet = scope["path"] in _PROBES and status < 500
            log.log(
                logging.DEBUG if quiet else logging.INFO,
                "%s %s %s in %.0f ms",
                scope["method"],
                ascii(scope["path"])[1:-1][:200],  # a path may hold line breaks
                status or "no answer",
                (time.monotonic() - started) * 1000,
            )


def _counted(receive: Receive, limit: int) -> Receive:
    total = 0

    async def counting() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise BodyTooLarge(limit)
        return message

    return counting
