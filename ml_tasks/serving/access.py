"""Who may ask: with a key set, the answers are for those who carry it; the rest stays open."""

from __future__ import annotations

import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from ml_tasks.serving.noted import Noted
from ml_tasks.serving.refusals import CODES, refusal

GUARDED = ("/inference/", "/v1/")
_BEARER = b"bearer "


class KeyCheck:
    """Refuses requests for GUARDED paths that carry another key than the service's, or none."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app, self._key = app, key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        guarded = scope["type"] == "http" and scope["path"].startswith(GUARDED)
        if not guarded or self._carried(scope):
            await self.app(scope, receive, send)
            return
        Noted.of(scope).error = "unauthorized"
        answer = refusal(
            CODES["unauthorized"][0],
            "unauthorized",
            "this service wants its key: Authorization: Bearer KEY, or X-API-Key: KEY",
            {"www-authenticate": "Bearer"},
        )
        await answer(scope, receive, send)

    def _carried(self, scope: Scope) -> bool:
        right = False
        for name, value in scope["headers"]:  # all are compared: the time tells nothing
            if name == b"x-api-key":
                right |= hmac.compare_digest(value.strip(), self._key)
            elif name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
                right |= hmac.compare_digest(value[len(_BEARER) :].strip(), self._key)
        return right
