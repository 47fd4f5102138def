"""TensorBoard through the login: a real process answers, and learns nothing of the login."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from ml_tasks.config import Config
from ml_tasks.pages.answer import Answer
from ml_tasks.pages.site import TENSORBOARD, Site
from ml_tasks.pages.tensorboard import PATH, Passed, curves, pass_on
from tests.pages.curves import write_curves
from tests.pages.toy_project import FAILED
from tests.plugins.conftest import Server
from tests.waiting import PATIENCE, until


@pytest.fixture(scope="module")
def running(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """TensorBoard over the toy project's runs, at the port that Airflow was told."""
    runs = server.project.config.paths.runs
    write_curves(server.project.run(FAILED).logs)
    program = Path(sys.executable).absolute().parent / "tensorboard"
    where = ["--logdir", str(runs), "--host", "127.0.0.1", "--port", str(server.tensorboard)]
    log = tmp_path_factory.mktemp("tensorboard") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(program), *where, "--path_prefix", PATH],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + PATIENCE
    while not _runs(server):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.3)
    yield
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)


def _runs(server: Server) -> list[str]:
    answer = server.user.get(f"{PATH}/data/runs")
    return [str(run) for run in answer.json()] if answer.status_code == 200 else []


def test_where_none_runs_the_page_says_how_to_start_it(server: Server) -> None:
    """Before the fixture below starts it."""
    for environment in ({}, {TENSORBOARD: "http://127.0.0.1:1"}, {TENSORBOARD: "ftp://nowhere"}):
        site = Site(Config(), environment)
        answer = asyncio.run(pass_on(site, "GET", "", "", {}, b""))
        assert isinstance(answer, Answer) and answer.status == 503
        assert "--path_prefix /mammography/tensorboard" in answer.text


def test_signs_that_http_has_not_are_no_fault_of_the_page() -> None:
    site = Site(Config(), {TENSORBOARD: "http://127.0.0.1:1"})
    for header in ("M\u00fcller's browser", "x\u2028"):
        answer = asyncio.run(pass_on(site, "GET", "", "", {"user-agent": header}, b""))
        assert isinstance(answer, Answer) and answer.status == 503


def test_settings_that_cannot_be_read_are_said_here_too(server: Server) -> None:
    file = server.project.file
    before = file.read_text()
    file.write_text(before + "\nnonsense: 1\n")
    try:
        answer = server.user.get(f"{PATH}/")
        assert answer.status_code == 404 and "nonsense is not a setting" in answer.text
    finally:
        file.write_text(before)


def test_its_page_its_figures_and_its_questions_pass(server: Server, running: None) -> None:
    """The time series of the newer page are asked for by POST."""
    page = server.user.get(f"{PATH}/")
    assert page.status_code == 200 and "<title>TensorBoard</title>" in page.text
    assert page.headers["content-security-policy"].endswith(", frame-ancestors 'self'")
    assert server.user.get(f"{PATH}/index.js").status_code == 200
    folder = server.project.run(FAILED).root.name
    until(lambda: f"{folder}/logs/train" in _runs(server), "the run is not listed")
    asked = {"requests": f'[{{"plugin":"scalars","tag":"epoch_loss","run":"{folder}/logs/train"}}]'}
    address = f"{PATH}/experiment/defaultExperimentId/data/plugin/timeseries/timeSeries"

    def complete() -> bool:
        """A run is listed before TensorBoard has read its last figure."""
        (told,) = server.user.post(address, data=asked).json()
        return len(told.get("runToSeries", {}).get(f"{folder}/logs/train", [])) == 12

    until(complete, "not all 12 figures have come")


def test_nobody_sees_it_without_the_login(server: Server, running: None) -> None:
    for method in ("GET", "POST"):
        for path in ("", "index.js", "data/runs", "data/plugin/scalars/tags"):
            assert server.anonymous.request(method, f"{PATH}/{path}").status_code == 401


def test_a_request_of_any_size_is_not_taken(server: Server, running: None) -> None:
    answer = server.user.post(f"{PATH}/data/runs", content=b"x" * 1_100_000)
    assert answer.status_code == 413


class _Noting(BaseHTTPRequestHandler):
    """Answers with a cookie and notes what it was sent."""

    seen: dict[str, str]

    def do_GET(self) -> None:
        type(self).seen = {name.lower(): value for name, value in self.headers.items()}
        self.send_response(200)
        for name, value in (("Set-Cookie", "a=b"), ("Content-Length", "2"), ("Server", "x")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def test_the_login_is_not_passed_on_and_no_cookie_comes_back() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Noting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site = Site(Config(), {TENSORBOARD: f"http://127.0.0.1:{server.server_port}"})
    given = {"cookie": "_token=secret", "authorization": "Bearer secret", "accept": "text/html"}

    async def ask() -> tuple[Passed, bytes]:
        passed = await pass_on(site, "GET", "data/runs", "a=1", given, b"")
        assert isinstance(passed, Passed)
        return passed, b"".join([part async for part in passed.body])

    try:
        passed, body = asyncio.run(ask())
    finally:
        server.shutdown()
        server.server_close()
    assert (passed.status, body) == (200, b"ok")
    assert "secret" not in str(_Noting.seen) and _Noting.seen["accept"] == "text/html"
    assert "set-cookie" not in passed.headers and "server" not in passed.headers


def test_the_curves_of_a_run_are_shown_alone(server: Server) -> None:
    answer = curves(Site(server.project.config, {}), FAILED)
    assert answer.location is not None
    only = httpx.URL(answer.location).params["runFilter"]
    assert only == f"^{server.project.run(FAILED).root.name}/"
    assert answer.location.endswith("#timeseries")
