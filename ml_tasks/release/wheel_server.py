"""Wheels on an address of this machine for as long as an image is built of them."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from urllib.parse import unquote


@contextmanager
def served(wheels: Mapping[str, Path], texts: Mapping[str, str]) -> Iterator[str]:
    """Yields the address under which `wheels` (name -> file) are listed and `texts` are read.

    It listens on the loopback alone: a build with the host's network reaches it, nobody else does.
    """
    handler = type("_Handler", (_Handler,), {"wheels": dict(wheels), "texts": dict(texts)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, name="wheel-server", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wheels: Mapping[str, Path] = {}
    texts: Mapping[str, str] = {}

    def do_GET(self) -> None:
        """The list at /, a text or a wheel at /NAME."""
        name = unquote(self.path).removeprefix("/")
        if not name:
            links = "".join(f'<a href="{wheel}">{wheel}</a>\n' for wheel in sorted(self.wheels))
            self._text(f"<!DOCTYPE html><html><body>\n{links}</body></html>", "text/html")
        elif name in self.texts:
            self._text(self.texts[name], "text/plain")
        elif name in self.wheels:
            self._file(self.wheels[name])
        else:
            self.send_error(404)

    def _text(self, text: str, kind: str) -> None:
        data = text.encode()
        self._head(len(data), kind)
        self.wfile.write(data)

    def _file(self, path: Path) -> None:
        with path.open("rb") as stream:
            self._head(path.stat().st_size, "application/octet-stream")
            copyfileobj(stream, self.wfile, 1 << 20)

    def _head(self, length: int, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if "text" in kind else kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing: two hundred lines of wheels would bury what matters."""
