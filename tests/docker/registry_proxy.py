"""A way to a real registry that can be cut at one request, before or after it gets there."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.waiting import PATIENCE

_HOP = ("content-length", "transfer-encoding", "connection")


class RegistryProxy:
    """Passes requests on; the first that is a `method` of a path with `ending` meets `cut`.

    `before`: it never gets there. `after`: it is done, and the answer is lost.
    """

    def __init__(self, registry: str, method: str, ending: str, cut: str) -> None:
        self.cuts = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                meets = self.command == method and self.path.endswith(ending) and not outer.cuts
                if meets:
                    outer.cuts += 1
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if not (meets and cut == "before"):
                    answer = httpx.request(
                        self.command,
                        f"http://{registry}{self.path}",
                        content=body,
                        headers=dict(self.headers.items()),
                        timeout=PATIENCE,
                        trust_env=False,
                    )
                if meets:
                    self.close_connection = True
                    return
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in _HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.content)

            do_GET = do_HEAD = do_PUT = do_DELETE = _any  # noqa: N815 - names that it looks for

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> RegistryProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
