"""The images that a host needs, built where they are missing or of another version of the code."""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from pathlib import Path

from ml_tasks.deployment.image_sources import stale_images
from ml_tasks.deployment.say import Say
from ml_tasks.errors import StackError

_STACK = (
    "mammography-airflow", "mammography-cpu", "mammography-postgres:15", "mammography-redis:7",
    "mammography-registry:2", "mammography-nginx:1",
)  # fmt: skip
_GPU = "mammography-gpu"


def images_of(profiles: Collection[str]) -> tuple[str, ...]:
    """Those of the whole stack with these profiles."""
    return (*_STACK, *([_GPU] if "gpu" in profiles else []))


def ensure_images(project: Path, needed: Collection[str], say: Say) -> None:
    """Builds the images that are missing or older than the checkout.

    A machine without a network has them from a bundle, and no environment to build them with.

    Raises:
        StackError: they cannot be built.
    """
    missing = [image for image in needed if not _is_there(image)]
    missing += stale_images(project, (image for image in needed if image not in missing))
    if not missing and not (project / ".venv").exists():
        return
    if missing:
        say(f"to be made for this version of the code: {', '.join(missing)}")
    for command in _commands(needed):
        if subprocess.run(command, cwd=project, check=False).returncode:
            raise StackError(
                f"`{' '.join(command)}` failed, so these images are missing or of another version "
                f"of the code: {', '.join(missing) or 'none'}; what is above says why. On a "
                "machine without a network: make bundle from this revision elsewhere, then make "
                "install-bundle here"
            )


def _commands(needed: Collection[str]) -> list[list[str]]:
    mammo = ".venv/bin/mammo"
    roles = [each.removeprefix("mammography-") for each in needed if ":" not in each]
    images = [mammo, "images", *(word for role in roles for word in ("--role", role))]
    if len(roles) == len(needed):  # a host with workers alone
        return [["./setup_ml.sh"], images]
    return [["./setup_ml.sh"], [mammo, "base_images"], images, [mammo, "serving-base"]]


def _is_there(image: str) -> bool:
    command = ["docker", "image", "inspect", image]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
