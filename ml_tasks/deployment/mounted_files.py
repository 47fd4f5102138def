"""Services that still run with an older state of a file that the checkout mounts into them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml_tasks.deployment.compose import Compose, docker

_SERVICE = "com.docker.compose.service"


def outdated_services(compose: Compose) -> list[str]:
    """Compose compares its own file alone: what stands in a mounted one, it does not see change,
    and a container keeps the file that it has begun with.

    Raises:
        StackError: the engine does not answer.
    """
    containers = compose.containers()
    if not containers:
        return []
    described = json.loads(docker("inspect", *containers))
    return sorted({each["Config"]["Labels"][_SERVICE] for each in described if _is_outdated(each)})


def _is_outdated(container: dict[str, Any]) -> bool:
    began = _moment(container["State"]["StartedAt"])
    files = (Path(each["Source"]) for each in container["Mounts"] if each["Type"] == "bind")
    return any(file.is_file() and _changed(file) > began for file in files)


def _changed(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


def _moment(text: str) -> datetime:
    """Of the engine's form, which has nanoseconds: 2026-01-31T03:00:00.123456789Z."""
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
