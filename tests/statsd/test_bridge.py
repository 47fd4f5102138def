"""The bridge as a process: real packets in, Prometheus' text out, and nothing ends it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.statsd.bridge_process import RunningBridge, running_bridge
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBridge]:
    disk = tmp_path_factory.mktemp("volume")
    with running_bridge("--first-zero", "0", "--disk", str(disk), "--disk", "/gone") as started:
        yield started


def send(bridge: RunningBridge, *packets: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        for packet in packets:
            source.sendto(packet, ("127.0.0.1", bridge.statsd_port))


def wait_for(bridge: RunningBridge, name: str, value: float) -> None:
    deadline = time.monotonic() + PATIENCE
    while name not in bridge.text() or bridge.value(name) != value:
        assert time.monotonic() < deadline, f"{name} never was {value}:\n{bridge.text()}"
        time.sleep(0.05)


def test_what_cannot_be_read_is_counted_and_the_rest_goes_on(bridge: RunningBridge) -> None:
    send(bridge, b"", b"\xff\x00:::|||", b"airflow.a:1|c\nnonsense\nairflow.a:-1|c\n", b"\n\n")
    send(bridge, b"airflow.a,x=\xc3\xa9:2|c")
    wait_for(bridge, 'airflow_a_total{x="é"}', 2)
    assert bridge.value("airflow_a_total") == 1
    assert bridge.value('statsd_lines_refused_total{reason="unreadable"}') == 2
    assert bridge.value('statsd_lines_refused_total{reason="not_added"}') == 1


def test_a_burst_of_a_whole_pipeline_is_not_lost(bridge: RunningBridge) -> None:
    """Far more at once than Airflow sends: about 20 lines a second when idle."""
    # The kernel holds some 250 packets for a bridge whose turn has not come; more are lost, and
    # how soon its turn comes is up to whatever else the machine does.
    for count in range(1, 11):
        send(bridge, *[b"airflow.burst:1|c"] * 100)
        wait_for(bridge, "airflow_burst_total", 100 * count)


def test_it_measures_the_volume(bridge: RunningBridge, tmp_path: Path) -> None:
    lines = [line for line in bridge.text().splitlines() if line.startswith("mammo_disk")]
    found = {line.split("{")[0] + line.split('"')[1]: float(line.split()[-1]) for line in lines}
    size = next(v for k, v in found.items() if k.startswith("mammo_disk_size") and "/gone" not in k)
    assert size == shutil.disk_usage(tmp_path).total
    gone = [value for name, value in found.items() if name.endswith("/gone")]
    assert len(gone) == 2 and all(value != value for value in gone)  # NaN, and no error


def test_a_taken_port_is_named(bridge: RunningBridge) -> None:
    command = [sys.executable, "-m", "ml_tasks.statsd", "--host", "127.0.0.1"]
    command += ["--statsd-port", str(bridge.statsd_port), "--port", str(bridge.port)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 1
    assert f"{bridge.statsd_port} (udp)" in ended.stderr and "--statsd-port" in ended.stderr
