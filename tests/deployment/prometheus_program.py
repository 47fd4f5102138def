"""Debian's Prometheus and promtool: the installed ones, else unpacked from their package."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_tasks.errors import StackError
from ml_tasks.local_stack.engine import apt_get
from ml_tasks.local_stack.processes import run_to_end
from ml_tasks.storage import locked
from tests.conftest import PROJECT, unavailable
from tests.free_ports import free_ports
from tests.waiting import PATIENCE

UNPACKED = PROJECT / ".local" / "prometheus"  # kept between test runs, as the wheels are


@dataclass(frozen=True)
class RunningPrometheus:
    """A Prometheus that answers at `url`."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query; a bad expression is an error."""
        url, asked = f"{self.url}/api/v1/query", {"query": expression}
        answer = httpx.get(url, params=asked, timeout=PATIENCE, trust_env=False).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def wait_for(self, expression: str) -> list[dict[str, Any]]:
        """The series of a query, as soon as there are any."""
        deadline = time.monotonic() + PATIENCE
        while not (found := self.query(expression)):
            assert time.monotonic() < deadline, f"never any series of {expression}"
            time.sleep(0.2)
        return found


def program(name: str) -> Path:
    """`prometheus` or `promtool`.

    Raises:
        StackError: it is not installed and cannot be had from Debian's packages.
    """
    installed = shutil.which(name)
    if installed is not None:
        return Path(installed)
    unpacked = UNPACKED / "usr" / "bin" / name
    if not unpacked.exists():
        download = UNPACKED / "download"
        download.mkdir(parents=True, exist_ok=True)
        apt_get("update")
        apt_get("download", "prometheus", cwd=download)
        run_to_end(["dpkg-deb", "-x", *map(str, download.glob("*.deb")), str(UNPACKED)])
        shutil.rmtree(download)
    return unpacked


@pytest.fixture(scope="session")
def promtool(machine: Path) -> Path:
    with locked(machine):
        return _or_skip("promtool")


@pytest.fixture(scope="session")
def prometheus_program(machine: Path) -> Path:
    with locked(machine):
        return _or_skip("prometheus")


@contextmanager
def running_prometheus(
    found: Path, config: Path, data: Path, log: Path
) -> Iterator[RunningPrometheus]:
    """Prometheus on a free port; ended by its own process id."""
    port = free_ports(1)[0]
    command = [str(found), f"--config.file={config}", f"--storage.tsdb.path={data}"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", process, log)
        yield RunningPrometheus(f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def _or_skip(name: str) -> Path:
    try:
        return program(name)
    except StackError as error:
        unavailable(f"needs {name}: {error}")
