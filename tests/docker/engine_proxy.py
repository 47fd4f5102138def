"""A socket in front of the real engine that can be cut: the engine gone in the middle, for real."""

from __future__ import annotations

import contextlib
import selectors
import socket
import tempfile
import threading
from pathlib import Path


class EngineProxy:
    """Passes bytes on to the engine until `cut`; or cuts itself once either side says `cut_at`."""

    def __init__(self, engine_socket: str) -> None:
        self.engine_socket = engine_socket
        self.folder = tempfile.TemporaryDirectory(prefix="mammo-")
        self.path = Path(self.folder.name) / "engine.sock"  # short: socket paths have a limit
        self.cut_at: bytes | None = None
        self.up = False
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.start()

    @property
    def address(self) -> str:
        return f"unix://{self.path}"

    def start(self) -> None:
        """Listens (again)."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self.up = True
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """The engine is gone: every connection ends and none is taken."""
        self.up = False
        self.cut_at = None
        self.path.unlink(missing_ok=True)
        for connection in [self._listener, *self._open]:
            if connection is not None:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends the proxy for good."""
        self.cut()
        self.folder.cleanup()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError), listener:
            while self.up:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        engine = socket.socket(socket.AF_UNIX)
        engine.connect(self.engine_socket)
        self._open |= {client, engine}
        with contextlib.suppress(OSError), client, engine:
            self._pass_on(client, engine)
        self._open -= {client, engine}

    def _pass_on(self, client: socket.socket, engine: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, engine)
            selector.register(engine, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    if self.cut_at and self.cut_at in data:
                        self.cut()
                        return
                    key.data.sendall(data)
