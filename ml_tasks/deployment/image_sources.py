"""What the stack's own images hold of a checkout, and whether those in the engine hold this one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ml_tasks.deployment.compose import docker
from ml_tasks.release.base_labels import SOURCES, base_labels

# At /opt/mammo in the images.
FOLDERS = ("ml_tasks", "dags", "plugins", "docker")
FILES = ("pyproject.toml", "LICENSE", "requirements/serving.txt")
# The images that hold it, and what is installed in them.
LOCKS = {
    "mammography-airflow": "requirements/airflow.txt",
    "mammography-cpu": "requirements/cpu.txt",
    "mammography-gpu": "requirements/gpu.txt",
    "mammography-kubernetes": "requirements/kubernetes.txt",
}


def image_sources(checkout: Path) -> dict[str, Path]:
    """Every file that the images hold: name in the checkout -> file."""
    found = {name: checkout / name for name in FILES}
    for folder in FOLDERS:
        for file in sorted((checkout / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc":
                found[file.relative_to(checkout).as_posix()] = file
    return found


def sources_hash(checkout: Path) -> str:
    """One hash of all of them."""
    return base_labels(image_sources(checkout), checkout / FILES[0])[SOURCES]


def stale_images(checkout: Path, images: Iterable[str]) -> list[str]:
    """Those of the images in the engine that were made of another checkout than this.

    A project that holds settings alone, beside a checkout elsewhere, has nothing to compare.
    """
    if not (checkout / "ml_tasks").is_dir():
        return []
    own = [image for image in images if image in LOCKS]
    sources = image_sources(checkout) if own else {}
    return [
        image for image in own if _labels(image) != base_labels(sources, checkout / LOCKS[image])
    ]


def _labels(image: str) -> dict[str, str]:
    found = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))
    return {name: value for name, value in (found or {}).items() if name in _COMPARED}


_COMPARED = frozenset(base_labels({}, Path(__file__)))
