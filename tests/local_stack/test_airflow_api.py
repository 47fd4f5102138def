"""Questions outlive a busy Airflow; what changes something is sent once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ml_tasks.errors import StackError
from ml_tasks.local_stack.airflow_api import AirflowApi


class Busy(BaseHTTPRequestHandler):
    """Answers the first `busy` requests with 500, or hangs up on them."""

    busy = 0
    hangs_up = False
    asked = 0

    def do_GET(self) -> None:
        if self.path.endswith("/auth/token"):
            return self._say(201, {"access_token": "a"})
        type(self).asked += 1
        if self.asked > self.busy:
            return self._say(200, {"assets": []})
        if self.hangs_up:
            return self.connection.close()
        return self._say(500, {"detail": "database is locked"})

    def do_POST(self) -> None:
        self.do_GET()

    def _say(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def api() -> Iterator[AirflowApi]:
    server = HTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with AirflowApi(f"http://127.0.0.1:{server.server_port}", "admin", "right") as found:
        yield found
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Busy, "asked", 0)
    monkeypatch.setattr("ml_tasks.local_stack.airflow_api.time.sleep", lambda _: None)


@pytest.mark.parametrize("hangs_up", [False, True])
def test_a_question_is_asked_again(
    api: AirflowApi, hangs_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Busy, "busy", 3)
    monkeypatch.setattr(Busy, "hangs_up", hangs_up)
    assert api.assets() == []
    assert Busy.asked == 4


def test_what_never_answers_is_said(api: AirflowApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Busy, "busy", 9)
    with pytest.raises(StackError, match="answered 500 to GET /assets: database is locked"):
        api.assets()
    assert Busy.asked == 4


def test_what_changes_something_is_sent_once(
    api: AirflowApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Busy, "busy", 1)
    with pytest.raises(StackError, match="answered 500 to POST"):
        api.trigger("retraining", {})
    assert Busy.asked == 1
