"""A host that has workers alone: what `make up` does where .env names another as the main host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ml_tasks.deployment.compose import Compose
from ml_tasks.deployment.health import wait_until_healthy
from ml_tasks.deployment.needed_images import ensure_images
from ml_tasks.deployment.profiles import SERVICES, TRAINS, end_unchosen, profiles
from ml_tasks.deployment.say import Say
from ml_tasks.deployment.settings_file import NAME, SECRETS
from ml_tasks.deployment.shared_volume import CONFIG
from ml_tasks.errors import StackError

_MAIN = "MAMMO_MAIN_HOST"
_WORKERS = "MAMMO_GPU_WORKERS"


def is_worker_host(settings: Mapping[str, str]) -> bool:
    """Whether these are the settings of a host beside the main one."""
    return bool(settings.get(_MAIN))


def refuse_worker_host(settings: Mapping[str, str]) -> None:
    """Refuses what concerns the whole stack, and would begin another one here.

    Raises:
        StackError: this host has workers alone.
    """
    if is_worker_host(settings):
        raise StackError(
            f"this host has workers alone ({_MAIN}={settings[_MAIN]} in {NAME}): run it there. "
            f"How many workers there are here, {_WORKERS} says; make up takes it in, and as many "
            "trainings go at once as the pool gpu has slots (docs/deployment.md, A second host)"
        )


def up_workers(project: Path, settings: Mapping[str, str], say: Say) -> None:
    """Starts the worker that trains, and nothing else: a second scheduler or builder here would
    work on the main host's data.

    Raises:
        StackError: the settings are not the main host's, the shared volume is not mounted, or the
            worker does not come up.
    """
    _check(project, settings)
    compose = Compose(project, settings, profiles(settings))
    kind = next(each for each in TRAINS if each in compose.profiles)
    service = SERVICES[kind]
    ensure_images(project, [f"mammography-{kind}"], say)
    say(f"starting {service} for the stack of {settings[_MAIN]}, and nothing else")
    end_unchosen(compose, say)
    compose.run("up", "--detach", "--no-deps", service)
    wait_until_healthy(compose, service=service)
    say(f"{service} is healthy, and takes what waits in the queue gpu")


def _check(project: Path, settings: Mapping[str, str]) -> None:
    file, main = project / NAME, settings[_MAIN]
    missing = [name for name in (*SECRETS, "MAMMO_SHARED") if not settings.get(name)]
    if missing:
        raise StackError(
            f"{file} names {main} as the main host, but lacks {', '.join(missing)}; copy the main "
            "host's .env here, and add what docs/deployment.md says of a second host"
        )
    if settings.get(_WORKERS) == "0":
        raise StackError(f"{file}: {_WORKERS}=0 is the main host's; take the line out here")
    config = Path(settings["MAMMO_SHARED"]) / CONFIG
    if not config.is_file():
        raise StackError(
            f"{config} is not there: mount the main host's shared volume at MAMMO_SHARED, or name "
            f"in {file} where it is mounted"
        )
