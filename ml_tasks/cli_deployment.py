"""The commands that make the images of the stack: `mammo images` and `mammo base_images`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import closing

from ml_tasks.cli_release import Command
from ml_tasks.deployment.image_sources import LOCKS

ROLES = tuple(image.removeprefix("mammography-") for image in LOCKS)


def add_deployment_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Adds them by `add(name, function, help)`, which makes the parser of one command."""
    images = add("images", _images, "the images of Airflow's roles and workers, where they changed")
    images.add_argument(
        "--role", action="append", choices=ROLES, help="only this; else airflow and cpu"
    )
    add("base_images", _base_images, "the images of Python, Postgres, Redis, registry and others")


def _images(chosen: argparse.Namespace) -> int:
    from ml_tasks.deployment.images.stack_images import USUAL, ensure_stack_images
    from ml_tasks.release.engine import connect

    wheels = chosen.config.absolute().parent / ".local" / "wheels"
    with closing(connect()) as client:
        for made in ensure_stack_images(client, wheels, chosen.role or USUAL):
            sys.stdout.write(f"{made.summary()}\n")
    return 0


def _base_images(chosen: argparse.Namespace) -> int:
    from ml_tasks.deployment.images.base_images import ensure_base_images
    from ml_tasks.release.engine import connect

    with closing(connect()) as client:
        for made in ensure_base_images(client):
            sys.stdout.write(f"{made.summary()}\n")
    return 0
