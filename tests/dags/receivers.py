"""Real servers on this machine that keep what a notice sends them: one for mail, one for posts."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """Where a server listens and what has come, in order."""

    port: int
    status: int = 200  # that the web server answers
    paths: list[str] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    mails: list[tuple[list[str], str]] = field(default_factory=list)  # recipients and message


@contextmanager
def webhook() -> Iterator[Received]:
    """A web server that takes posts of JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received: Received = self.server.received  # type: ignore[attr-defined]
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.paths.append(self.path)
            received.posts.append(json.loads(body))
            self.send_response(received.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with _served(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as received:
        yield received


@contextmanager
def mail_server() -> Iterator[Received]:
    """A mail server that takes every message: enough of RFC 5321 for one client at a time."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            received: Received = self.server.received  # type: ignore[attr-defined]
            self._say("220 test")
            to: list[str] = []
            while line := self.rfile.readline():
                word = line.decode().strip()
                if word.upper().startswith("RCPT TO:"):
                    to.append(word.split("<")[1].split(">")[0])
                if word.upper() == "DATA":
                    self._say("354 go on")
                    received.mails.append((to, self._message()))
                if word.upper() == "QUIT":
                    self._say("221 bye")
                    return
                self._say("250 ok")

        def _say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def _message(self) -> str:
            lines = []
            while (line := self.rfile.readline()) != b".\r\n":
                lines.append(line.decode())
            return "".join(lines)

    with _served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as received:
        yield received


@contextmanager
def _served(server: socketserver.TCPServer) -> Iterator[Received]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    received = Received(int(server.server_address[1]))
    server.received = received  # type: ignore[attr-defined]  # for the handlers
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
