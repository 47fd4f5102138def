"""Ports: what is free, and who holds what is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ml_tasks.errors import StackError
from ml_tasks.local_stack.ports import free_ports, holder, is_free, port_from, require_free


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which this test process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_is_not_free(taken: int) -> None:
    assert not is_free(taken)
    assert is_free(free_ports(1)[0])


def test_a_port_in_use_on_ipv6_is_named_too() -> None:
    """Servers such as Docker's proxy listen on both."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        assert holder(server.getsockname()[1]).pid == os.getpid()


def test_the_holder_is_named_with_pid_and_command(taken: int) -> None:
    with pytest.raises(StackError) as caught:
        require_free(taken, "AIRFLOW_PORT")
    text = str(caught.value)
    assert f"port {taken} is taken by pid {os.getpid()} (" in text
    assert text.endswith("; stop it or set AIRFLOW_PORT")


def test_the_holder_is_found_among_other_processes() -> None:
    code = (
        "import socket,sys; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = holder(int(process.stdout.readline()))
        process.communicate()
    assert found.pid == process.pid
    assert found.command is not None and "socket.create_server" in found.command


def test_a_free_port_is_accepted() -> None:
    require_free(free_ports(1)[0], "AIRFLOW_PORT")


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1", "80.5"])
def test_a_bad_port_is_refused_by_name(text: str) -> None:
    with pytest.raises(StackError, match=r"AIRFLOW_PORT is .*; set it to a port number"):
        port_from({"AIRFLOW_PORT": text}, "AIRFLOW_PORT", 8080)


def test_ports_come_from_the_environment_or_the_default() -> None:
    assert port_from({"AIRFLOW_PORT": "9090"}, "AIRFLOW_PORT", 8080) == 9090
    assert port_from({"AIRFLOW_PORT": ""}, "AIRFLOW_PORT", 8080) == 8080
    assert port_from({}, "AIRFLOW_PORT", 8080) == 8080
