"""What every request passes through: it is counted, timed, and gets its line in the log."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_tasks.serving.logbook import StatisticsLog, log_request
from ml_tasks.serving.metrics import Metrics
from ml_tasks.serving.noted import Noted

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_UNKNOWN = "(unknown)"
_FILES = "/static/"
_ENDED = 499  # the client hung up before it was answered


class RequestRecord:
    """Notes each request under its route's path: what was asked for may hold anything."""

    def __init__(
        self, app: ASGIApp, paths: frozenset[str], metrics: Metrics, statistics: StatisticsLog
    ) -> None:
        self.app, self.paths = app, paths
        self.metrics, self.statistics = metrics, statistics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, noted = time.perf_counter(), _ENDED, Noted.of(scope)

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.metrics.in_flight.inc()
        try:
            await self.app(scope, receive, noting)
        except Exception:  # answered further out, where no more is noted
            status, noted.error = 500, "internal"
            raise
        finally:
            self.metrics.in_flight.dec()
            self._note(scope, status, time.perf_counter() - started, noted)

    def _note(self, scope: Scope, status: int, seconds: float, noted: Noted) -> None:
        path = scope["path"]
        if path not in self.paths:
            path = f"{_FILES}<name>" if path.startswith(_FILES) else _UNKNOWN
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self.metrics.count(path, status, seconds, noted)
        log_request(method, path, status, seconds, noted)
        self.statistics.write(noted)
