"""The page's routes: what is served, under which policy, and that nothing else can be fetched."""

from __future__ import annotations

import re
import socket

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from ml_tasks.inference.overlay import overlay_png
from ml_tasks.release.serving_base import serving_sources
from ml_tasks.serving.access import GUARDED
from ml_tasks.serving.page.routes import legend_png
from tests.waiting import PATIENCE

FILES = ("page.css", "page.js", "words.js", "en.js", "fr.js", "icon.svg", "legend.png")
TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "png": "image/png"}


@pytest.mark.parametrize("path", ["/", *(f"/static/{name}" for name in FILES)])
def test_every_file_comes_with_its_type_and_a_strict_policy(
    service: httpx.Client, path: str
) -> None:
    answer = service.get(path)
    assert answer.status_code == 200
    expected = TYPES.get(path.rpartition(".")[2], "text/html")
    assert answer.headers["content-type"].startswith(expected)
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in str(policy) and "http" not in str(policy) and "*" not in str(policy)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in answer.headers


def test_a_file_that_did_not_change_is_not_sent_again(service: httpx.Client) -> None:
    """`no-cache` asks each time: an old script must not meet a new service."""
    first = service.get("/static/page.js")
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = service.get("/static/page.js", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert service.get("/static/page.js", headers={"if-none-match": '"other"'}).status_code == 200
    assert service.head("/").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/page.html",
        "/static/routes.py",
        "/static/__init__.py",
        "/static/nothing.js",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/%2e%2e/errors.py",
        "/static/..%5capp.py",
        "/static//etc/passwd",
        "/static/page.js%00.css",
    ],
)
def test_no_other_file_can_be_fetched(service: httpx.Client, path: str) -> None:
    """Sent as it stands: a client of its own would tidy the path up first."""
    address = (service.base_url.host, service.base_url.port or 80)
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), answer[:200]
    assert b"import" not in answer and b"root:" not in answer


def test_the_page_is_open_where_answers_want_a_key() -> None:
    """It has to be there to ask for the key."""
    assert not any(path.startswith(GUARDED) for path in ("/", "/static/page.js", "/ready", "/docs"))


def test_no_file_names_an_outside_address() -> None:
    page = {
        name: path.read_text()
        for name, path in serving_sources().items()
        if name.startswith("ml_tasks/serving/page/")
    }
    for name, text in page.items():
        found = set(re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s\"'<]*", text))
        assert found <= {"http://www.w3.org/2000/svg"}, (name, found)


def test_the_image_gets_every_file_of_the_page() -> None:
    names = set(serving_sources())
    for name in FILES[:-1]:  # the legend is drawn by the service
        assert f"ml_tasks/serving/page/{name}" in names
    assert "ml_tasks/serving/page/page.html" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_every_text_of_a_file_that_a_script_imports_is_served(service: httpx.Client) -> None:
    """A module that is missing stops the whole page."""
    seen, left = set(), {"page.js"}
    while left:
        name = left.pop()
        seen.add(name)
        answer = service.get(f"/static/{name}")
        assert answer.status_code == 200, name
        left |= set(re.findall(r'from "\./([\w.]+)"', answer.text)) - seen
    assert {"markdown.js", "heatmap.js", "queue.js"} <= seen


def test_the_legend_has_the_colours_of_the_heat_map(service: httpx.Client) -> None:
    """A legend of other colours would turn what speaks for a finding into what speaks against."""
    legend = _rgba(service.get("/static/legend.png").content)
    assert service.get("/static/legend.png").content == legend_png()
    breast = np.full((128, 128), 120, np.uint8)
    for value, end in ((-3.0, legend[0, 0]), (3.0, legend[0, -1])):
        drawn = _rgba(overlay_png(np.full((4, 4), value, np.float32), breast))
        assert (drawn == end).all()
    assert legend[0, 0, 2] > legend[0, 0, 0] and legend[0, -1, 0] > legend[0, -1, 2]  # blue, orange
    opacity = legend[0, :, 3].astype(int)
    assert opacity[128] < 5 and (np.diff(opacity[:128]) <= 0).all()
    assert (np.diff(opacity[128:]) >= 0).all()


def _rgba(png: bytes) -> NDArray[np.uint8]:
    """A PNG as (H,W,4), red first."""
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA), np.uint8)
