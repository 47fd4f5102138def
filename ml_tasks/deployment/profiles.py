"""Which profiles of docker-compose.yaml a stack runs with, and the service that each one adds."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ml_tasks.deployment.compose import Compose, docker
from ml_tasks.deployment.say import Say

SERVICES = {"gpu": "gpu-worker", "cpu": "cpu-worker", "metrics": "prometheus"}
TRAINS = ("gpu", "cpu")
_GRACE = 60  # seconds that a worker gets to end what it does, as in docker-compose.yaml


def profiles(settings: Mapping[str, str]) -> tuple[str, ...]:
    """MAMMO_PROFILES of the settings; if neither gpu nor cpu is among them, the one that the engine
    can: gpu where it knows NVIDIA's runtime. Without either, nothing would ever be trained.
    """
    named = tuple(settings.get("MAMMO_PROFILES", "").replace(",", " ").split())
    if set(TRAINS) & set(named):
        return named
    runtimes = json.loads(docker("info", "--format", "{{json .Runtimes}}"))
    return (*named, "gpu" if "nvidia" in runtimes else "cpu")


def end_unchosen(compose: Compose, say: Say) -> None:
    """Ends the services of profiles that are not chosen any more, and says so.

    Compose takes none of them for orphans: without this, the CPU's stand-in would go on to take
    trainings beside the GPU that came later.

    Raises:
        StackError: the engine does not do it.
    """
    ended = []
    for profile, service in SERVICES.items():
        containers = [] if profile in compose.profiles else compose.containers(service, True)
        for container in containers:
            docker("stop", "--time", str(_GRACE), container)
            docker("rm", container)
        ended += [service] * bool(containers)
    if ended:
        say(f"ended, for its profile is not chosen any more: {', '.join(ended)}")
