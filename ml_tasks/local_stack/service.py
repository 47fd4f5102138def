"""The inference service of the `production` image, running on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
from docker.errors import DockerException, NotFound

from ml_tasks.errors import StackError
from ml_tasks.local_stack.engine import Engine
from ml_tasks.local_stack.ports import is_free, require_free
from ml_tasks.local_stack.registry import LABEL, state_label
from ml_tasks.local_stack.terminal import step
from ml_tasks.release.confinement import PORT, USER, as_service
from ml_tasks.release.statistics_folder import give_statistics_folder

_READY_SECONDS = 90.0


def container_name(state: Path) -> str:
    """A name that is the same for the same state directory and differs between two."""
    return f"mammo-service-{state_label(state)}"


def require_service_port(state: Path, engine: Engine, port: int) -> None:
    """Returns if the service may have the port: it is free, or our own service of before holds it.

    Raises:
        StackError: another process holds it.
    """
    if is_free(port):
        return
    client = engine.client()
    try:
        holders = client.containers.get(container_name(state)).ports.get(f"{PORT}/tcp") or ()
        ours = any(holder["HostPort"] == str(port) for holder in holders)
    except NotFound:
        ours = False
    finally:
        client.close()
    if not ours:
        require_free(port, "SERVICE_PORT")


def start_service(
    state: Path,
    engine: Engine,
    image: str,
    port: int,
    say: Callable[[str], None] = step,
    statistics: Path | None = None,
) -> str:
    """Runs `image` in place of the service before it; returns its address once it is ready.

    The container is confined as in production, and is never restarted by itself. Into the folder
    `statistics` it writes what drift is told by; without one, to its log.

    Raises:
        StackError: the port is taken, or it was not ready in time; its last lines are quoted.
        StorageError: the folder cannot be given to the service.
    """
    if statistics is not None:
        give_statistics_folder(statistics)
    stop_service(state, engine)
    require_free(port, "SERVICE_PORT")
    client = engine.client()
    try:
        container = client.containers.run(
            image,
            detach=True,
            name=container_name(state),
            labels={LABEL: state_label(state)},
            user=USER,
            ports={f"{PORT}/tcp": ("127.0.0.1", port)},
            **as_service(statistics and statistics.absolute()),
        )
        address = f"http://localhost:{port}"
        begin = time.monotonic()
        while not _ready(address):
            container.reload()
            if container.status == "exited" or time.monotonic() - begin > _READY_SECONDS:
                end = container.logs(tail=10).decode(errors="replace")
                container.remove(force=True)
                raise StackError(f"the service of {image} did not become ready:\n{end}")
            time.sleep(0.3)
    except DockerException as error:
        raise StackError(f"the service of {image} could not be started: {error}") from error
    finally:
        client.close()
    say(f"the inference service answers at {address} ({time.monotonic() - begin:.0f} s)")
    return address


def stop_service(state: Path, engine: Engine) -> bool:
    """Ends the service's container; returns whether there was one."""
    if engine.host is None:
        return False
    client = engine.client()
    try:
        client.containers.get(container_name(state)).remove(force=True)
    except NotFound:
        return False
    finally:
        client.close()
    return True


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/ready", timeout=3, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
