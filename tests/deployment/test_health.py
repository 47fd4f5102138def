"""Waiting for the stack: each container's own health check, asked by who waits."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_tasks.deployment import health
from ml_tasks.deployment.compose import Compose, docker
from ml_tasks.deployment.health import wait_until_healthy
from ml_tasks.deployment.images.image_ref import ImageRef
from ml_tasks.errors import StackError

# The engine's first look comes after a quarter of an hour: nothing here waits for it.
LATE = "900s"
READY = "echo waits for its disk; sleep 3; touch /tmp/ready; sleep 600"


@pytest.fixture
def project(
    tmp_path: Path, compose_installed: None, base_images: tuple[ImageRef, ...]
) -> Iterator[Compose]:
    made = Compose(tmp_path, {"COMPOSE_PROJECT_NAME": f"mammohealth{os.getpid()}"}, ())
    yield made
    made.output("down", "--timeout", "1")


def _up(project: Compose, **services: dict[str, object]) -> None:
    common = {"image": "mammography-redis:7", "init": True}
    content = {"version": "3.8", "services": {n: common | each for n, each in services.items()}}
    (project.project / "docker-compose.yaml").write_text(yaml.safe_dump(content))
    project.output("up", "--detach")


def _stays(script: str, *test: str) -> dict[str, object]:
    return {
        "entrypoint": ["sh", "-c", script],
        "restart": "unless-stopped",
        "healthcheck": {"test": list(test), "interval": LATE},
    }


def test_it_returns_once_each_check_passes_and_does_not_wait_for_the_engines_look(
    project: Compose,
) -> None:
    begin = time.time()
    _up(
        project,
        later=_stays(READY, "CMD-SHELL", "cat /tmp/ready && test -n started"),
        words=_stays(READY, "CMD", "cat", "/tmp/ready"),
        made={"entrypoint": ["sleep", "1"], "restart": "no"},
    )
    wait_until_healthy(project)
    for service in ("later", "words"):
        project.exec(service, ["cat", "/tmp/ready"])
    assert time.time() - begin < 800, "the engine's look was waited for"
    states = docker("ps", "--all", "--filter", f"name={project.name}", "--format", "{{.Status}}")
    assert "Exited (0)" in states and "health: starting" in states


def test_what_answered_before_a_restart_is_asked_again(
    project: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another one is waited for, it starts anew and has lost what the check wants."""
    _up(
        project,
        # The newest container is asked first.
        again=_stays("sleep 600", "CMD", "test", "!", "-e", "/tmp/lost") | {"depends_on": ["slow"]},
        slow=_stays("sleep 600", "CMD", "cat", "/tmp/ready"),
    )
    (again,), (slow,) = project.containers("again"), project.containers("slow")
    really, answered = health._answers, list[bool]()

    def answers(container: dict[str, Any]) -> bool:
        found = really(container)
        if container["Id"] != again:
            return found
        before_it = found and True not in answered
        answered.append(found)
        if before_it:
            docker("exec", again, "touch", "/tmp/lost")
            docker("restart", "--time", "1", again)
            docker("exec", slow, "touch", "/tmp/ready")
        elif not found:
            docker("exec", again, "rm", "-f", "/tmp/lost")
        return found

    monkeypatch.setattr(health, "_answers", answers)
    wait_until_healthy(project)
    after = answered[answered.index(True) + 1 :]
    assert False in after and after[-1], "what it answered before the restart was believed"


def test_what_never_passes_is_named_with_the_end_of_its_log(project: Compose) -> None:
    _up(project, stuck=_stays(READY, "CMD", "cat", "/tmp/never"), well=_stays(READY, "CMD", "true"))
    with pytest.raises(StackError, match=r"(?s)not healthy after 5 s: .*stuck.*waits for its"):
        wait_until_healthy(project, seconds=5)


def test_what_ends_with_an_error_ends_the_waiting(project: Compose) -> None:
    _up(
        project,
        broken={"entrypoint": ["sh", "-c", "echo no room; exit 3"], "restart": "no"},
        stuck=_stays(READY, "CMD", "cat", "/tmp/never"),
    )
    with pytest.raises(StackError, match=r"(?s)broken\S* ended with status 3:.*no room"):
        wait_until_healthy(project)
