"""Whether the parts of the stack are up, and what the one says that is not."""

from __future__ import annotations

import json
import subprocess
import time

from ml_tasks.deployment.compose import Compose, docker
from ml_tasks.errors import StackError

_HEALTHY_SECONDS = 600.0


def wait_until_healthy(
    compose: Compose, seconds: float = _HEALTHY_SECONDS, service: str = ""
) -> None:
    """Returns once every container with a health check is healthy and those that end ended well;
    of one service alone, where it is named.

    Raises:
        StackError: one ended badly, or is not healthy in time; its last lines are quoted.
    """
    deadline = time.monotonic() + seconds
    while waiting := _not_healthy(compose, service):
        if time.monotonic() > deadline:
            name = waiting[0]
            raise StackError(
                f"not healthy after {seconds:.0f} s: {', '.join(waiting)}; the end of {name}'s "
                f"log:\n{_tail(name)}"
            )
        time.sleep(1)


def _not_healthy(compose: Compose, service: str) -> list[str]:
    """The containers that are not up yet.

    Raises:
        StackError: one ended with an error, and will not be started again.
    """
    waiting = []
    containers = compose.containers(service, stopped=True)
    for each in json.loads(docker("inspect", *containers) or "[]"):
        state, name = each["State"], each["Name"].lstrip("/")
        ends = each["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")
        if ends and state["Status"] == "exited" and state["ExitCode"]:
            raise StackError(f"{name} ended with status {state['ExitCode']}:\n{_tail(name)}")
        if ends and state["Status"] != "exited":
            waiting.append(name)
        healthy = state.get("Health", {}).get("Status", "healthy") == "healthy"
        if not ends and not (state["Status"] == "running" and healthy):
            waiting.append(name)
    return waiting


def _tail(name: str) -> str:
    done = subprocess.run(
        ["docker", "logs", "--tail", "15", name], capture_output=True, text=True, check=False
    )
    return (done.stdout + done.stderr).strip()
