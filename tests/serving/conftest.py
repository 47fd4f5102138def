"""The real service in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.toy_run import make_bundle

LIMIT = 4 * 1024 * 1024


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def served(release: Path, log: Path) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """`python -m ml_tasks.serving` on a free port; ended by its own process id."""
    port = free_port()
    environment = {
        **os.environ,
        "MAMMO_RELEASE": str(release),
        "MAMMO_HOST": "127.0.0.1",
        "MAMMO_PORT": str(port),
        "MAMMO_MAX_BODY": str(LIMIT),
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "ml_tasks.serving"], env=environment, stderr=stream
        )
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False
        ) as client:
            wait_for(client, "/health", 200)
            yield client, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def wait_for(client: httpx.Client, path: str, status: int, seconds: float = 20) -> httpx.Response:
    """Asks until the status comes."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = client.get(path)
            if answer.status_code == status:
                return answer
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"{path} never answered {status}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving") / "service.log"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[httpx.Client]:
    with served(make_bundle(tmp_path_factory.mktemp("bundle")), log) as (client, _):
        wait_for(client, "/ready", 200)
        yield client
