"""Another host for tests: an engine in a network of its own, joined to this one by a cable."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_tasks.deployment.settings_file import change_settings
from ml_tasks.deployment.stack import up
from ml_tasks.local_stack import processes
from ml_tasks.local_stack.engine import DOCKERD, start_dockerd
from tests.stack.running_stack import RunningStack

MAIN, BOX = "10.213.7.1", "10.213.7.2"  # the two ends of the cable
CABLE = "mammo-cable"
_ALONE = 'ip link set lo up; exec dockerd "$@"'  # its own address, and no other


@dataclass(frozen=True)
class LoneEngine:
    """An engine that sees nothing of this machine's network; `host` is its DOCKER_HOST."""

    host: str
    pid: int

    def docker(self, *arguments: str) -> str:
        """What the program docker prints, of this engine."""
        command = ["docker", "--host", self.host, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def lone_engine(folder: Path) -> Iterator[LoneEngine]:
    """Started with folders below `folder`, ended after the block; root alone can do so."""
    state, host = folder / "state", f"unix://{folder}/docker.sock"
    folders = {name: str(folder / name) for name in ("data-root", "exec-root")}
    options = [word for name, place in folders.items() for word in (f"--{name}", place)]
    options += ["--pidfile", str(folder / "docker.pid")]
    start_dockerd(state, host, options, ("unshare", "--net", "sh", "-c", _ALONE, "dockerd"))
    started = processes.running(state, DOCKERD)
    assert started is not None
    try:
        yield LoneEngine(host, started.pid)
    finally:
        processes.stop(state, DOCKERD, grace=30)


@contextmanager
def cable(engine: LoneEngine) -> Iterator[None]:
    """Within the block the engine's host is BOX, and reaches this one, MAIN, and nobody else."""
    there = ("nsenter", "--net", "--target", str(engine.pid))
    _run(
        "ip", "link", "add", CABLE, "type", "veth", "peer", "name", "box", "netns", str(engine.pid)
    )
    try:
        for where, address, end in (((), MAIN, CABLE), (there, BOX, "box")):
            _run(*where, "ip", "address", "add", f"{address}/30", "dev", end)
            _run(*where, "ip", "link", "set", end, "up")
        yield
    finally:
        subprocess.run(["ip", "link", "delete", CABLE], check=False, capture_output=True)


@contextmanager
def unplugged() -> Iterator[None]:
    """Within the block nothing goes through the cable, and nobody is told so."""
    _run("ip", "link", "set", CABLE, "down")
    try:
        yield
    finally:
        _run("ip", "link", "set", CABLE, "up")


def start_box(main: RunningStack, engine: LoneEngine, project: Path) -> str:
    """The GPU worker's stand-in on the other host, as docs/deployment.md has it; its name there."""
    project.mkdir()
    for name in ("docker-compose.yaml", ".env"):
        shutil.copy(main.project / name, project / name)
    shutil.copytree(main.project / "docker", project / "docker")
    change_settings(
        project,
        {
            "COMPOSE_FILE": "docker-compose.yaml:docker/gpu-host.yaml",
            "MAMMO_MAIN_HOST": MAIN,
            "MAMMO_GPU_WORKERS": "1",
        },
    )
    _carry(engine, "mammography-cpu")
    with pytest.MonkeyPatch.context() as there:
        there.setenv("DOCKER_HOST", engine.host)
        up(project, lambda _: None)
    (container,) = engine.docker("ps", "--quiet").split()
    return engine.docker("inspect", "--format", "{{.Config.Hostname}}", container).strip()


def _carry(engine: LoneEngine, image: str) -> None:
    words = f'docker save {image} | docker --host "{engine.host}" load'
    _run("bash", "-o", "pipefail", "-ec", words)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
