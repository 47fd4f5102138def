"""An image registry on this machine: the registry image, else Debian's docker-registry."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker
import httpx
import yaml
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from ml_tasks.errors import StackError
from ml_tasks.local_stack import processes
from ml_tasks.local_stack.engine import Engine, apt_get
from ml_tasks.local_stack.ports import require_free
from ml_tasks.local_stack.processes import run_to_end
from ml_tasks.local_stack.terminal import step
from ml_tasks.storage import write_bytes

IMAGE = "registry:2"
PROCESS = "registry"
LABEL = "ml_tasks.stack"
_PULL_SECONDS = 90.0


@dataclass(frozen=True)
class Registry:
    """A registry that answers at `address` (host:port); `kind` says what runs it."""

    address: str
    kind: str


def ensure_registry(
    state: Path,
    port: int,
    engine: Engine | None = None,
    say: Callable[[str], None] = step,
) -> Registry:
    """The registry of this state directory, started if it does not run yet.

    `engine` runs the registry image where that can be pulled; without one, Debian's program runs.

    Raises:
        StackError: the port is taken, or no registry could be had.
    """
    address = f"localhost:{port}"
    kind = _ours(state, engine, port)
    if kind is not None and answers(address):
        return Registry(address, kind)
    stop_registry(state, engine)
    require_free(port, "REGISTRY_PORT")
    if engine is not None and engine.host is not None:
        try:
            return _run_image(state, engine, port, say)
        except (StackError, DockerException, OSError) as error:
            say(f"{str(error).splitlines()[0][:120]}; using Debian's docker-registry instead")
            _remove_container(state, engine)
    return run_program(state, port)


def run_program(state: Path, port: int) -> Registry:
    """Runs Debian's docker-registry as a background process on localhost.

    Raises:
        StackError: it could not be had, or does not answer.
    """
    program = registry_program(state)
    config = state / "registry" / "config.yml"
    write_bytes(config, yaml.safe_dump(_settings(state, port)).encode())
    started = processes.start(state, PROCESS, [str(program), "serve", str(config)])
    try:
        _wait(f"localhost:{port}", lambda: started.alive)
    except StackError as error:
        end = processes.tail(started.log, 8)
        processes.stop(state, PROCESS)
        raise StackError(f"{error}; the end of {started.log}:\n{end}") from error
    return Registry(f"localhost:{port}", "docker-registry")


def stop_registry(state: Path, engine: Engine | None = None) -> bool:
    """Ends the registry of this state directory, program or container; its images stay on disk."""
    stopped = processes.stop(state, PROCESS)
    return _remove_container(state, engine) or stopped


def answers(address: str) -> bool:
    """Whether a registry answers at host:port."""
    try:
        return httpx.get(f"http://{address}/v2/", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def container_name(state: Path) -> str:
    """A name that is the same for the same state directory and differs between two."""
    return f"mammo-registry-{state_label(state)}"


def state_label(state: Path) -> str:
    """What containers of this state directory are labelled with."""
    return hashlib.sha256(os.path.realpath(state).encode()).hexdigest()[:10]


def holds_port(state: Path, engine: Engine | None, port: int) -> bool:
    """Whether it is the registry of this state directory that holds the port."""
    return _ours(state, engine, port) is not None


def _ours(state: Path, engine: Engine | None, port: int) -> str | None:
    started = processes.running(state, PROCESS)
    if started is not None:
        settings = yaml.safe_load((state / "registry" / "config.yml").read_text())
        return "docker-registry" if settings["http"]["addr"] == _listens_on(port) else None
    if engine is None or engine.host is None:
        return None
    client = engine.client()
    try:
        container = client.containers.get(container_name(state))
        holders = [holder for each in container.ports.values() for holder in each or ()]
        there = any(holder["HostPort"] == str(port) for holder in holders)
        return IMAGE if there and container.status == "running" else None
    except NotFound:
        return None
    finally:
        client.close()


def _run_image(state: Path, engine: Engine, port: int, say: Callable[[str], None]) -> Registry:
    client = engine.client()
    try:
        _pull(client, say)
        data = state / "registry" / "data"
        data.mkdir(parents=True, exist_ok=True)
        client.containers.run(
            IMAGE,
            detach=True,
            name=container_name(state),
            labels={LABEL: state_label(state)},
            environment={"REGISTRY_STORAGE_DELETE_ENABLED": "true"},
            user=f"{os.getuid()}:{os.getgid()}",
            volumes={str(data.absolute()): {"bind": "/var/lib/registry", "mode": "rw"}},
            ports={"5000/tcp": ("127.0.0.1", port)},
        )
    finally:
        client.close()
    _wait(f"localhost:{port}", lambda: True)
    return Registry(f"localhost:{port}", IMAGE)


def _pull(client: docker.DockerClient, say: Callable[[str], None]) -> None:
    """Pulls the registry image unless it is there; gives up after a set time."""
    try:
        client.images.get(IMAGE)
        return
    except ImageNotFound:
        say(f"pulling {IMAGE}")
    trouble: list[str] = []

    def pull() -> None:
        try:
            client.images.pull(IMAGE)
        except (DockerException, OSError) as error:
            trouble.append(getattr(error, "explanation", None) or str(error))

    # A pull has no time limit of its own, and an unreachable hub may never answer.
    thread = threading.Thread(target=pull, daemon=True)
    thread.start()
    thread.join(_PULL_SECONDS)
    if thread.is_alive():
        raise StackError(f"pulling {IMAGE} took more than {_PULL_SECONDS:.0f} s")
    if trouble:
        raise StackError(f"{IMAGE} cannot be pulled: {trouble[0]}")


def registry_program(state: Path) -> Path:
    """Debian's docker-registry: the installed one, else unpacked from its package, without root.

    Raises:
        StackError: it is not installed and cannot be had from Debian's packages.
    """
    installed = shutil.which("docker-registry")
    if installed is not None:
        return Path(installed)
    unpacked = state / "registry" / "program"
    program = unpacked / "usr" / "bin" / "docker-registry"
    if program.exists():
        return program
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise StackError("no registry: docker-registry is missing and this is no Debian or Ubuntu")
    download = state / "registry" / "download"
    download.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        apt_get("update")
    apt_get("download", "docker-registry", cwd=download)
    run_to_end(["dpkg-deb", "-x", *map(str, download.glob("*.deb")), str(unpacked)])
    return program


def _settings(state: Path, port: int) -> dict[str, object]:
    data = state / "registry" / "data"
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(data.absolute())},
            "delete": {"enabled": True},
        },
        "http": {"addr": _listens_on(port), "secret": secrets.token_hex(16)},
    }


def _listens_on(port: int) -> str:
    return f"127.0.0.1:{port}"


def _wait(address: str, alive: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not answers(address):
        if not alive() or time.monotonic() > deadline:
            raise StackError(f"the registry at {address} does not answer")
        time.sleep(0.2)


def _remove_container(state: Path, engine: Engine | None) -> bool:
    if engine is None or engine.host is None:
        return False
    client = engine.client()
    try:
        client.containers.get(container_name(state)).remove(force=True)
    except NotFound:
        return False
    except APIError as error:
        raise StackError(f"the registry's container cannot be removed: {error}") from error
    finally:
        client.close()
    return True
