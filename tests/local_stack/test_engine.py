"""The engine: the running one is used, one of our own is ended, and a lack has a reason."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ml_tasks.errors import StackError
from ml_tasks.local_stack import engine as engines
from ml_tasks.local_stack import processes
from ml_tasks.local_stack.engine import Engine, ensure_engine, ping, start_dockerd, stop_engine


@pytest.fixture
def dockerd(engine_place: Engine) -> None:
    """The program, which tests may start beside the running engine."""
    if os.geteuid() != 0:
        pytest.skip("starting dockerd needs root")
    if shutil.which("dockerd") is None:
        pytest.skip("dockerd is not on this machine (the engine is elsewhere)")


def test_skip_docker_is_a_reason(tmp_path: Path) -> None:
    found = ensure_engine(tmp_path, {"SKIP_DOCKER": "1"})
    assert found.host is None
    assert found.reason == "SKIP_DOCKER is set; unset it to build and ship the image"
    with pytest.raises(StackError, match="no Docker engine: SKIP_DOCKER"):
        found.client()


def test_a_docker_host_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """Whoever names an engine means that one: no other is started in its place."""
    host = f"unix://{tmp_path}/nothing.sock"
    found = ensure_engine(tmp_path, {"DOCKER_HOST": host})
    assert found.host is None
    assert found.reason is not None and host in found.reason
    assert processes.listed(tmp_path) == []


def test_the_running_engine_is_used(engine_place: Engine, tmp_path: Path) -> None:
    said: list[str] = []
    assert ensure_engine(tmp_path, os.environ, said.append).host == engine_place.host
    assert said == []


def test_an_engine_of_our_own_is_started_and_ended(
    dockerd: None, short_folder: Path, tmp_path: Path
) -> None:
    host = _second_engine(tmp_path, short_folder)
    assert ping(host) is None
    started = processes.running(tmp_path, engines.DOCKERD)
    assert started is not None
    stop_engine(tmp_path, lambda _: None)
    assert processes.members(started) == set()
    assert ping(host) is not None


def test_a_crash_on_torn_data_is_named_with_its_remedy(
    dockerd: None, short_folder: Path, tmp_path: Path
) -> None:
    """As after a kill in the middle of a write: the pages behind the head are not yet there."""
    _second_engine(tmp_path, short_folder)
    stop_engine(tmp_path, lambda _: None)
    with (short_folder / "root/network/files/local-kv.db").open("r+b") as networks:
        size = networks.seek(0, os.SEEK_END)
        networks.seek(2 * 4096)
        networks.write(bytes(size - 2 * 4096))
    torn = rf"its own data: 'panic: invalid (freelist )?page.* move {short_folder}/root aside"
    with pytest.raises(StackError, match=torn):
        _second_engine(tmp_path, short_folder)
    assert processes.listed(tmp_path) == []


def test_an_engine_that_cannot_start_quotes_its_log(dockerd: None, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"(?s)dockerd did not come up.*no-such-option"):
        start_dockerd(tmp_path, f"unix://{tmp_path}/docker.sock", ["--no-such-option"])
    assert processes.listed(tmp_path) == []


def _second_engine(state: Path, folder: Path) -> str:
    """In a network namespace of its own: the running engine keeps its bridge docker0."""
    host = f"unix://{folder}/docker.sock"
    folders = {"data-root": "root", "exec-root": "exec", "pidfile": "pid"}
    options = [f"--{name}={folder / place}" for name, place in folders.items()]
    start_dockerd(state, host, options, program=("unshare", "--net", "dockerd"))
    return host
