"""A small HTTP server that answers like an image registry, a faulty one, or something else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, dict[str, str], object]  # status, headers, JSON
UNKNOWN: Answer = (404, {}, {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown"}]})


class RegistryServer:
    """Answers every request by `answer(method, path, headers)`; keeps what it was asked."""

    def __init__(self, answer: Callable[[str, str, dict[str, str]], Answer]) -> None:
        self.asked: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                outer.asked.append((self.command, self.path))
                status, headers, content = answer(
                    self.command, self.path, {k.lower(): v for k, v in self.headers.items()}
                )
                body = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = _any  # noqa: N815 - names that the server looks for

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> RegistryServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def holding(digest: str | None) -> RegistryServer:
    """A registry whose `production` is this digest; None: it has never seen the repository."""

    def answer(*_: object) -> Answer:
        if digest is None:
            return UNKNOWN
        return 200, {"Docker-Content-Digest": digest}, {}

    return RegistryServer(answer)
