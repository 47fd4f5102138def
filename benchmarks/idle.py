"""What each container of a stack costs while it does nothing: the engine's own counters."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_SERVICE, _PROJECT = "com.docker.compose.service", "com.docker.compose.project"
_SERVED = "mammography.service"  # the label of the container that answers for production


@dataclass(frozen=True)
class Reading:
    """One container's counters at one moment."""

    service: str
    at: float  # seconds
    worked: float  # seconds of processor since its start
    megabytes: float  # without the file cache that the kernel can take back


@dataclass(frozen=True)
class Idle:
    """A service, all its containers together."""

    service: str
    containers: int
    core_share: float  # of one core
    megabytes: float


def idle_services(project: str, seconds: float) -> list[Idle]:
    """Measures the stack `project` for so long; the costliest first."""
    import docker

    client = docker.from_env(timeout=60)
    try:
        before = _readings(client, project)
        time.sleep(seconds)  # the length of the measurement, not a wait for something
        return shares(before, _readings(client, project))
    finally:
        client.close()


def shares(before: dict[str, Reading], after: dict[str, Reading]) -> list[Idle]:
    """What was spent between two readings; containers that are in one alone do not count."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name in before.keys() & after.keys():
        one, other = before[name], after[name]
        share = (other.worked - one.worked) / (other.at - one.at)
        found[other.service].append((share, other.megabytes))
    each = [
        Idle(service, len(parts), sum(p[0] for p in parts), sum(p[1] for p in parts))
        for service, parts in found.items()
    ]
    return sorted(each, key=lambda idle: -idle.core_share)


def _readings(client: Any, project: str) -> dict[str, Reading]:
    containers = [
        *client.containers.list(filters={"label": f"{_PROJECT}={project}"}),
        *client.containers.list(filters={"label": f"{_SERVED}={project}_default"}),
    ]
    return dict(_read(client, containers))


def _read(client: Any, containers: Iterable[Any]) -> Iterable[tuple[str, Reading]]:
    for container in containers:
        stats = client.api.stats(container.id, stream=False, one_shot=True)
        service = container.labels.get(_SERVICE, "the release in production")
        worked = stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
        yield container.id, Reading(service, time.monotonic(), worked, _held(stats["memory_stats"]))


def _held(memory: dict[str, Any]) -> float:
    counted = memory.get("stats", {})
    reclaimable = counted.get("inactive_file", counted.get("total_inactive_file", 0))
    return float(memory.get("usage", 0) - reclaimable) / 1e6
