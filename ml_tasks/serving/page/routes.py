"""The routes of the page: `/` and `/static/<name>`, from memory, under a strict policy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_tasks.inference.overlay import overlay_png

_FOLDER = Path(__file__).parent
_PAGE = "page.html"
_LEGEND_WIDTH = 256  # pixels; one high, the page stretches it
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Scripts, styles and answers come from this service alone; pictures also from its answers (data:).
# Text that came from a file, a model card or an answer can never become markup: the page makes
# none, and trusted types would stop it if it did.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # Kept, but asked for each time: after an upgrade no old script meets a new service.
    "cache-control": "no-cache",
}


@dataclass(frozen=True)
class _File:
    """One file of the page as it is sent."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> _File:
        return cls(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:20]}"')


def page_routes() -> list[Route]:
    """`/` and `/static/<name>`. Read once: a name that is not among the files is none."""
    files = {
        path.name: _File.of(path.read_bytes(), _TYPES[path.suffix])
        for path in _FOLDER.iterdir()
        if path.suffix in _TYPES
    }
    files["legend.png"] = _File.of(legend_png(), "image/png")
    page = files.pop(_PAGE)

    async def front(request: Request) -> Response:
        return _answer(request, page)

    async def static(request: Request) -> Response:
        found = files.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404, "the page has no such file")
        return _answer(request, found)

    return [
        Route("/", front, include_in_schema=False),
        Route("/static/{name}", static, include_in_schema=False),
    ]


def legend_png() -> bytes:
    """The colours of the heat map from most against (left) to most for the positive class (right).

    Drawn by what draws the heat map itself, so that the two cannot differ.
    """
    ramp = np.linspace(-1, 1, _LEGEND_WIDTH, dtype=np.float32)[np.newaxis]
    return overlay_png(ramp, np.full(ramp.shape, 255, np.uint8))


def _answer(request: Request, file: _File) -> Response:
    headers = {**_HEADERS, "etag": file.etag}
    known = request.headers.get("if-none-match", "")
    if file.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
