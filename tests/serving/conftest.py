"""The real service in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.free_ports import free_ports
from tests.toy_run import make_bundle
from tests.waiting import PATIENCE

LIMIT = 4 * 1024 * 1024


def environment_of(release: Path, port: int, settings: dict[str, str]) -> dict[str, str]:
    """The environment of a service on this machine; `settings` are its MAMMO_ variables."""
    return {
        **os.environ,
        "MAMMO_RELEASE": str(release),
        "MAMMO_HOST": "127.0.0.1",
        "MAMMO_PORT": str(port),
        "MAMMO_MAX_BODY": str(LIMIT),
        **settings,
    }


SERVICE = ("-m", "ml_tasks.serving")


@contextmanager
def served(
    release: Path, log: Path, python: tuple[str, ...] = SERVICE, /, **settings: str
) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """`python -m ml_tasks.serving` on a free port; ended by its own process id.

    `log` takes both of its streams; `settings` are further MAMMO_ variables, `python` the
    interpreter's arguments where a test changes the service before it starts.
    """
    port = free_ports(1)[0]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *python],
            env=environment_of(release, port, settings),
            stderr=stream,
            stdout=stream,
        )
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False
        ) as client:
            wait_for(client, "/health", 200)
            yield client, process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            # What is at work ends first, though nobody waits for its answer any more.
            process.wait(timeout=PATIENCE)
        finally:
            process.kill()
            process.wait()


def wait_for(client: httpx.Client, path: str, status: int) -> httpx.Response:
    """Asks until the status comes."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            answer = client.get(path)
            if answer.status_code == status:
                return answer
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"{path} never answered {status}"
        time.sleep(0.05)


def lines_of(log: Path, event: str, count: int) -> list[dict[str, Any]]:
    """The lines of an event in a service's log, once there are at least `count` of them.

    A line is written after its answer was sent.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        found = [line for line in lines if line["event"] == event]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"only {len(found)} lines of {event}"
        time.sleep(0.05)


def resident_mb(process: subprocess.Popen[bytes]) -> float:
    """Megabytes of a process that are in memory."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS"))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving") / "service.log"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[httpx.Client]:
    with served(make_bundle(tmp_path_factory.mktemp("bundle")), log) as (client, _):
        wait_for(client, "/ready", 200)
        yield client
