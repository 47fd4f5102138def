"""What a request gets: a page, a file or another address, each with the headers that confine it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

# These pages stand beside Airflow's own, under its login: what a file that others wrote may do in
# a browser is said by a policy, not left to its content.
_CLOSED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
# Our pages: one script of ours, and Airflow's page in a frame for a form that is filled in.
PAGE = f"{_CLOSED}; script-src 'self'; style-src 'unsafe-inline'; img-src 'self'; frame-src 'self'"
# Reports and Data Docs: pictures and style, no script.
REPORT = f"{_CLOSED}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:"
# A report that draws itself by its own scripts: they run, but as a stranger to Airflow's page.
DRAWN = (
    f"{_CLOSED}; sandbox allow-scripts; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; worker-src blob:"
)
NOTHING = f"{_CLOSED}; sandbox"  # for what is no page

COMMON: Mapping[str, str] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
    }
)
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """One answer: `text`, or the `file`, or a redirection to `location`."""

    status: int = 200
    text: str = ""
    media: str = HTML
    file: Path | None = None
    download: str | None = None  # the name under which the browser keeps the file
    location: str | None = None
    policy: str = PAGE

    headers: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        headers = {**COMMON, "Content-Security-Policy": self.policy}
        object.__setattr__(self, "headers", headers)
