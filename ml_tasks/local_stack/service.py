"""The inference service of the `production` image, running on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from docker.errors import DockerException, NotFound

from ml_tasks.errors import StackError
from ml_tasks.local_stack.engine import Engine
from ml_tasks.local_stack.ports import is_free, require_free
from ml_tasks.local_stack.registry import LABEL, state_label
from ml_tasks.local_stack.terminal import step

_INSIDE = 8001  # the port that the image listens on
_USER = 10001  # as whom the image runs (docker/serving.Dockerfile)
_STATISTICS = "/statistics"
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
        holders = client.containers.get(container_name(state)).ports.get(f"{_INSIDE}/tcp") or ()
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

    The container has a read-only root and no capabilities, and is never restarted by itself. Into
    the folder `statistics` it writes what drift is told by; without one, to its log.

    Raises:
        StackError: the port is taken, the folder cannot be given to the service, or it was not
            ready in time; its last lines are quoted.
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
            read_only=True,
            tmpfs={"/tmp": "rw,noexec,nosuid,size=64m"},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            ports={f"{_INSIDE}/tcp": ("127.0.0.1", port)},
            **_with_statistics(statistics),
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


def give_statistics_folder(folder: Path) -> None:
    """Makes the folder, and lets the service's user write there: it is not this one.

    Raises:
        StackError: the folder belongs to somebody else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid == _USER or status.st_mode & 0o002:
            return
        if os.geteuid() == 0:
            os.chown(folder, _USER, -1)
        else:
            folder.chmod(0o1777)  # as /tmp: each may remove only what is his own
    except OSError as error:
        raise StackError(
            f"{folder} cannot be given to the service, which writes image statistics there "
            f"({error.strerror}); let its owner run: chmod 1777 {folder}"
        ) from error


def _with_statistics(folder: Path | None) -> dict[str, Any]:
    if folder is None:
        return {}
    return {
        "volumes": {str(folder.absolute()): {"bind": _STATISTICS, "mode": "rw"}},
        "environment": {"MAMMO_STATISTICS": f"{_STATISTICS}/images.jsonl"},
    }


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
