"""The registry's keys: a chain that verifies, a password that only bcrypt keeps."""

from __future__ import annotations

import ssl
import stat
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

crypt = pytest.importorskip("crypt", reason="of the image's Python 3.11")

from ml_tasks.deployment.registry_keys import USER, make_keys  # noqa: E402
from tests.waiting import PATIENCE  # noqa: E402


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_keys(tmp_path, "a password")
    return tmp_path


def test_a_client_that_trusts_the_bundle_reaches_a_server_with_these_keys(keys: Path) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "registry.crt", keys / "registry.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://localhost:{server.server_port}/"
    trusting = ssl.create_default_context(cafile=str(keys / "bundle.crt"))
    try:
        answer = httpx.get(url, verify=trusting, timeout=PATIENCE, trust_env=False)
        assert answer.status_code == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(url, timeout=PATIENCE, trust_env=False)
    finally:
        server.shutdown()
        server.server_close()


def test_only_the_right_password_fits(keys: Path) -> None:
    user, _, hashed = (keys / "htpasswd").read_text().strip().partition(":")
    assert user == USER
    assert hashed.startswith("$2b$")
    assert crypt.crypt("a password", hashed) == hashed
    assert crypt.crypt("another", hashed) != hashed


def test_the_private_parts_are_private(keys: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()}
    assert modes == {
        "ca.crt": 0o644,
        "bundle.crt": 0o644,
        "registry.crt": 0o644,
        "registry.key": 0o600,
        "htpasswd": 0o600,
    }


def test_certificates_stay_and_the_password_changes(keys: Path) -> None:
    before = {path.name: path.read_bytes() for path in keys.iterdir()}
    make_keys(keys, "a new password")
    after = {path.name: path.read_bytes() for path in keys.iterdir()}
    assert [name for name in before if before[name] != after[name]] == ["htpasswd"]


def test_an_interrupted_making_is_begun_anew(keys: Path) -> None:
    """registry.crt is written last: without it the rest may be of another making."""
    (keys / "registry.crt").unlink()
    make_keys(keys, "a password")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "registry.crt", keys / "registry.key")
