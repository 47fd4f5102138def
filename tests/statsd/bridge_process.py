"""The real bridge in a process of its own, and the settings that make an Airflow speak to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.free_ports import free_ports
from tests.waiting import PATIENCE

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS = PROJECT / "docker" / "airflow-metrics.env"


@dataclass(frozen=True)
class RunningBridge:
    """Where Airflow sends (udp) and where Prometheus asks."""

    statsd_port: int
    port: int

    def airflow_settings(self) -> dict[str, str]:
        """Those of the stack, with this bridge's address."""
        lines = SETTINGS.read_text().splitlines()
        told = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
        here = {"HOST": "127.0.0.1", "PORT": str(self.statsd_port)}
        return {**told, **{f"AIRFLOW__METRICS__STATSD_{k}": v for k, v in here.items()}}

    def text(self) -> str:
        url = f"http://127.0.0.1:{self.port}/metrics"
        return httpx.get(url, timeout=PATIENCE, trust_env=False).text

    def value(self, name: str) -> float:
        """Of the series with exactly this name and these labels."""
        found = dict(line.rsplit(" ", 1) for line in self.text().splitlines() if line[0] != "#")
        return float(found[name])


@contextmanager
def running_bridge(*arguments: str) -> Iterator[RunningBridge]:
    """`python -m ml_tasks.statsd` on free ports; ended by its own process id."""
    statsd_port, port = free_ports(2)
    command = [sys.executable, "-m", "ml_tasks.statsd", "--host", "127.0.0.1"]
    command += ["--statsd-port", str(statsd_port), "--port", str(port), *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    bridge = RunningBridge(statsd_port, port)
    try:
        _wait_until_it_answers(bridge, process)
        yield bridge
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0, process.communicate()[1]


def _wait_until_it_answers(bridge: RunningBridge, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            bridge.text()
            return
        except httpx.TransportError:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "the bridge does not answer"
            time.sleep(0.05)


@pytest.fixture(scope="session")
def statsd_bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBridge]:
    """The bridge that the shared Airflow speaks to; it measures the disk of the temporary files."""
    disk = tmp_path_factory.getbasetemp()
    with running_bridge("--first-zero", "3", "--disk", str(disk)) as bridge:
        yield bridge
