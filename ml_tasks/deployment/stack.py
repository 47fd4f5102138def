"""`make up`, `down`, `logs` and `scale`: the whole stack by a word."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ml_tasks.deployment.compose import Compose, docker
from ml_tasks.deployment.health import wait_until_healthy
from ml_tasks.deployment.image_sources import stale_images
from ml_tasks.deployment.mounted_files import outdated_services
from ml_tasks.deployment.settings_file import change_settings, ensure_settings, read_settings
from ml_tasks.deployment.shared_volume import ensure_shared_volume
from ml_tasks.deployment.unfinished_restore import refuse_unfinished
from ml_tasks.errors import StackError

Say = Callable[[str], None]

IMAGES = (
    "mammography-airflow", "mammography-cpu", "mammography-postgres:15", "mammography-redis:7",
    "mammography-registry:2", "mammography-nginx:1",
)  # fmt: skip
_LIVE = "mammography.service"  # the label of the containers that deploy_service starts
_DEPLOYMENT = "mammography_deployment"  # the DAG that does so
CONFIG = ("--config", "/mammo/config.yaml")  # as the workers see it


def stack(project: Path) -> Compose:
    """The stack as its settings stand.

    Raises:
        StackError: it was never set up here.
    """
    settings = read_settings(project)
    return Compose(project, settings, profiles(settings))


def profiles(settings: dict[str, str]) -> tuple[str, ...]:
    """MAMMO_PROFILES of the settings; if neither gpu nor cpu is among them, the one that the engine
    can: gpu where it knows NVIDIA's runtime. Without either, nothing would ever be trained.
    """
    named = tuple(settings.get("MAMMO_PROFILES", "").replace(",", " ").split())
    if {"gpu", "cpu"} & set(named):
        return named
    runtimes = json.loads(docker("info", "--format", "{{json .Runtimes}}"))
    return (*named, "gpu" if "nvidia" in runtimes else "cpu")


def up(project: Path, say: Say) -> None:
    """Makes what is missing, starts everything, and returns once every part is healthy.

    Raises:
        StackError: something cannot be had or does not come up; says what and why.
    """
    refuse_unfinished(project)
    docker("version")
    settings = ensure_settings(project)
    shared = Path(settings["MAMMO_SHARED"])
    ensure_shared_volume(shared, project, int(settings["MAMMO_UID"]))
    compose = Compose(project, settings, profiles(settings))
    ensure_images(project, compose.profiles, say)
    say(f"starting the stack {compose.name} (profiles {', '.join(compose.profiles)})")
    begin = time.monotonic()
    compose.run("up", "--detach", "--remove-orphans")
    if outdated := outdated_services(compose):
        say(f"restarted, for a file that was changed since: {', '.join(outdated)}")
        compose.run("restart", *outdated)
    wait_until_healthy(compose)
    say(f"every part is healthy ({time.monotonic() - begin:.0f} s)")
    serve(compose, say)
    _say_addresses(settings, project, say)


def ensure_images(project: Path, wanted: tuple[str, ...], say: Say) -> None:
    """Builds the images that are missing or older than the checkout.

    A machine without a network has them from a bundle, and no environment to build them with.

    Raises:
        StackError: they cannot be built.
    """
    needed = [*IMAGES, *(["mammography-gpu"] if "gpu" in wanted else [])]
    missing = [image for image in needed if not _is_there(image)]
    missing += stale_images(project, (image for image in needed if image not in missing))
    if not missing and not (project / ".venv").exists():
        return
    if missing:
        say(f"to be made for this version of the code: {', '.join(missing)}")
    roles = [each.removeprefix("mammography-") for each in needed if ":" not in each]
    mammo = ".venv/bin/mammo"
    commands = (
        ["./setup_ml.sh"],
        [mammo, "base_images"],
        [mammo, "images", *(word for role in roles for word in ("--role", role))],
        [mammo, "serving-base"],
    )
    for command in commands:
        if subprocess.run(command, cwd=project, check=False).returncode:
            raise StackError(
                f"`{' '.join(command)}` failed, so these images are missing or of another version "
                f"of the code: {', '.join(missing) or 'none'}; what is above says why. On a "
                "machine without a network: make bundle from this revision elsewhere, then make "
                "install-bundle here"
            )


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
        StackError: no number was given, compose refuses, or a restore is not through.
    """
    refuse_unfinished(project)
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


def _is_there(image: str) -> bool:
    command = ["docker", "image", "inspect", image]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _say_addresses(settings: dict[str, str], project: Path, say: Say) -> None:
    ports = {"Airflow": ("AIRFLOW_PORT", 8080), "the service": ("SERVICE_PORT", 8001)}
    ports |= {"MLflow": ("MLFLOW_PORT", 5001)}
    for name, (variable, port) in ports.items():
        say(f"{name:12} http://localhost:{settings.get(variable, port)}")
    say(f"login        admin, with AIRFLOW_ADMIN_PASSWORD of {project / '.env'}")
    shared = settings["MAMMO_SHARED"]
    say(f"your data    {shared}/data/raw; what the stack is set to: {shared}/config.yaml")
