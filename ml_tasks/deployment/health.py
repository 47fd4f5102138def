"""Whether the parts of the stack are up, and what the one says that is not."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Collection
from typing import Any

from ml_tasks.deployment.compose import Compose, docker
from ml_tasks.errors import StackError

_HEALTHY_SECONDS = 600.0
_ANSWER_SECONDS = 30.0  # of one health check


def wait_until_healthy(
    compose: Compose, seconds: float = _HEALTHY_SECONDS, service: str = ""
) -> None:
    """Returns once every container with a health check is healthy and those that end ended well;
    of one service alone, where it is named.

    The engine looks once a minute, since each look costs a tenth of a second of a core; whoever
    waits runs the check of one container after the other itself.

    Raises:
        StackError: one ended badly, or is not healthy in time; its last lines are quoted.
    """
    deadline = time.monotonic() + seconds
    answered: set[str] = set()
    while waiting := _not_healthy(compose, service, answered):
        if time.monotonic() > deadline:
            name = _name(waiting[0])
            raise StackError(
                f"not healthy after {seconds:.0f} s: {', '.join(map(_name, waiting))}; the end of "
                f"{name}'s log:\n{_tail(name)}"
            )
        asked = next((each for each in waiting if _can_be_asked(each)), None)
        if asked is not None and _answers(asked):
            answered.add(_life(asked))
        else:
            time.sleep(1)


def _not_healthy(compose: Compose, service: str, answered: Collection[str]) -> list[dict[str, Any]]:
    """The containers that are not up yet, as the engine describes them.

    Raises:
        StackError: one ended with an error, and will not be started again.
    """
    waiting = []
    containers = compose.containers(service, stopped=True)
    for each in json.loads(docker("inspect", *containers) or "[]"):
        state, ends = each["State"], _ends(each)
        if ends and state["Status"] == "exited" and state["ExitCode"]:
            raise StackError(
                f"{_name(each)} ended with status {state['ExitCode']}:\n{_tail(_name(each))}"
            )
        if ends and state["Status"] != "exited":
            waiting.append(each)
        healthy = state.get("Health", {}).get("Status", "healthy") == "healthy"
        healthy = healthy or _life(each) in answered
        if not ends and not (state["Status"] == "running" and healthy):
            waiting.append(each)
    return waiting


def _ends(container: dict[str, Any]) -> bool:
    """Whether it does its work and is not started again."""
    return container["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")


def _can_be_asked(container: dict[str, Any]) -> bool:
    return container["State"]["Status"] == "running" and not _ends(container)


def _answers(container: dict[str, Any]) -> bool:
    """Whether the container's own health check passes now."""
    kind, *words = container["Config"]["Healthcheck"]["Test"]
    command = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words
    try:
        done = subprocess.run(
            ["docker", "exec", container["Id"], *command],
            capture_output=True, check=False, timeout=_ANSWER_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _life(container: dict[str, Any]) -> str:
    """Its name from one start to the next: an answer before a restart is worth nothing."""
    return f"{container['Id']} {container['State']['StartedAt']}"


def _name(container: dict[str, Any]) -> str:
    return str(container["Name"]).lstrip("/")


def _tail(name: str) -> str:
    done = subprocess.run(
        ["docker", "logs", "--tail", "15", name], capture_output=True, text=True, check=False
    )
    return (done.stdout + done.stderr).strip()
