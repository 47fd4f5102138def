"""`make up`, `down`, `logs` and `scale`: the whole stack by a word."""

from __future__ import annotations

import time
from pathlib import Path

from ml_tasks.deployment.compose import Compose, docker
from ml_tasks.deployment.health import wait_until_healthy
from ml_tasks.deployment.lost_settings import refuse_lost_settings
from ml_tasks.deployment.mounted_files import outdated_services
from ml_tasks.deployment.needed_images import ensure_images, images_of
from ml_tasks.deployment.profiles import end_unchosen, profiles
from ml_tasks.deployment.say import Say
from ml_tasks.deployment.settings_file import (
    NAME,
    change_settings,
    ensure_settings,
    read_settings,
    settings_so_far,
)
from ml_tasks.deployment.shared_volume import ensure_shared_volume
from ml_tasks.deployment.unfinished_restore import refuse_unfinished
from ml_tasks.deployment.worker_host import is_worker_host, refuse_worker_host, up_workers
from ml_tasks.errors import StackError

# What `make up` finds on each machine; the .env out of an archive comes without the usual place.
_OF_A_STACK = ("COMPOSE_PROJECT_NAME", "MAMMO_SHARED", "MAMMO_UID", "DOCKER_GID")
_LIVE = "mammography.service"  # the label of the containers that deploy_service starts
_DEPLOYMENT = "mammography_deployment"  # the DAG that does so
CONFIG = ("--config", "/mammo/config.yaml")  # as the workers see it


def stack(project: Path) -> Compose:
    """The stack as its settings stand.

    Raises:
        StackError: it was never set up here.
    """
    settings = read_settings(project)
    if lacking := [name for name in _OF_A_STACK if name not in settings]:
        raise StackError(f"{project / NAME} lacks {', '.join(lacking)}: `make up` adds what it can")
    return Compose(project, settings, profiles(settings))


def up(project: Path, say: Say) -> None:
    """Makes what is missing, starts everything, and returns once every part is healthy; on a host
    beside the main one, the worker that trains alone.

    Raises:
        StackError: something cannot be had or does not come up; says what and why.
    """
    refuse_unfinished(project)
    docker("version")
    if is_worker_host(found := settings_so_far(project)):
        up_workers(project, found, say)
        return
    refuse_lost_settings(project)
    settings = ensure_settings(project)
    ensure_shared_volume(settings, project)
    compose = Compose(project, settings, profiles(settings))
    ensure_images(project, images_of(compose.profiles), say)
    say(f"starting the stack {compose.name} (profiles {', '.join(compose.profiles)})")
    begin = time.monotonic()
    end_unchosen(compose, say)
    compose.run("up", "--detach", "--remove-orphans")
    if outdated := outdated_services(compose):
        say(f"restarted, for a file that was changed since: {', '.join(outdated)}")
        compose.run("restart", *outdated)
    wait_until_healthy(compose)
    say(f"every part is healthy ({time.monotonic() - begin:.0f} s)")
    serve(compose, say)
    _say_addresses(settings, project, say)


def serve(compose: Compose, say: Say) -> None:
    """Lets the inference service follow `production`, now and from now on."""
    compose.exec("scheduler", ["airflow", "dags", "unpause", "--yes", _DEPLOYMENT])
    try:
        said = compose.exec("builder", ["mammo", "deploy_service", *CONFIG])
    except StackError as error:  # the stack is of use without it, and the DAG tries again
        say(f"the inference service does not follow production yet: {error}")
        return
    if said.strip():
        say(said.strip().splitlines()[-1])


def down(project: Path, say: Say) -> None:
    """Ends every container of the stack; what it keeps lies on its volumes and stays."""
    compose = stack(project)
    compose.run("stop", "builder")  # first: it starts containers of the service
    network = f"{compose.name}_default"
    found = docker("ps", "--all", "--quiet", "--filter", f"label={_LIVE}={network}").split()
    for container in found:
        docker("stop", "--time", "10", container)
        docker("rm", container)
    end_unchosen(compose, say)
    compose.run("down", "--remove-orphans")
    say("the stack is down; its data are kept")


def logs(project: Path, services: list[str]) -> None:
    """Follows what the services write, until Ctrl-C."""
    try:
        stack(project).run("logs", "--follow", "--tail", "100", *services)
    except KeyboardInterrupt:
        return


def scale(project: Path, workers: int | None, gpu: int | None, say: Say) -> None:
    """Sets how many workers there are, for good, and how many trainings may go at once.

    Raises:
        StackError: no number was given, compose refuses, a restore is not through, or this is a
            host beside the main one.
    """
    refuse_unfinished(project)
    refuse_worker_host(settings_so_far(project))
    numbers = {"MAMMO_WORKERS": workers, "MAMMO_GPU_WORKERS": gpu}
    chosen = {name: str(number) for name, number in numbers.items() if number is not None}
    if not chosen:
        raise StackError("say how many: make scale WORKERS=3, make scale GPU=2")
    change_settings(project, chosen)
    compose = stack(project)
    compose.run("up", "--detach")
    if gpu is not None:
        pool = ("gpu", str(max(gpu, 1)), "one training on each GPU worker")
        compose.exec("scheduler", ["airflow", "pools", "set", *pool])
    say(", ".join(f"{name}={number}" for name, number in chosen.items()))


def _say_addresses(settings: dict[str, str], project: Path, say: Say) -> None:
    ports = {"Airflow": ("AIRFLOW_PORT", 8080), "the service": ("SERVICE_PORT", 8001)}
    ports |= {"MLflow": ("MLFLOW_PORT", 5001)}
    for name, (variable, port) in ports.items():
        say(f"{name:12} http://localhost:{settings.get(variable, port)}")
    say(f"login        admin, with AIRFLOW_ADMIN_PASSWORD of {project / '.env'}")
    shared = settings["MAMMO_SHARED"]
    say(f"your data    {shared}/data/raw; what the stack is set to: {shared}/config.yaml")
