"""The images of Airflow's roles and workers: the code on the packages of a role."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient
from docker.errors import ImageNotFound

from ml_tasks.deployment.image_sources import FILES, image_sources
from ml_tasks.deployment.images.image_ref import ImageRef
from ml_tasks.deployment.images.package_layer import (
    AIRFLOW,
    CPU,
    GPU,
    KUBERNETES,
    PackageLayer,
    ensure_layer,
    layer_reference,
)
from ml_tasks.release.base_labels import base_labels
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.image_build import build_image
from ml_tasks.release.python_base import ensure_python_base
from ml_tasks.release.serving_base import checkout_file

log = logging.getLogger(__name__)

DOCKERFILE = "docker/airflow.Dockerfile"
MADE_OF = "mammography.made-of"  # label: one hash of the layer below, the Dockerfile and the code


@dataclass(frozen=True)
class Role:
    """An image of the stack, and what is installed in it."""

    name: str
    packages: PackageLayer


ROLES = {
    "airflow": Role("mammography-airflow", AIRFLOW),
    "cpu": Role("mammography-cpu", CPU),
    "gpu": Role("mammography-gpu", GPU),
    "kubernetes": Role("mammography-kubernetes", KUBERNETES),  # docs/kubernetes.md
}
USUAL = ("airflow", "cpu")


def ensure_stack_images(
    client: DockerClient, cache: Path, roles: Iterable[str] = USUAL
) -> tuple[ImageRef, ...]:
    """The images of these roles, made where code or packages differ from what they were made of.

    `cache` keeps the downloaded wheels.

    Raises:
        ReleaseError: wheels cannot be downloaded, or a build step failed.
        EngineUnavailable: the engine stopped answering.
    """
    python_base = ensure_python_base(client)
    with engine_errors(client, "the stack's images were built"):
        return tuple(_ensure(client, ROLES[role], python_base, cache) for role in roles)


def made_of(below: str, sources: dict[str, Path]) -> str:
    """What an image on the layer `below` is made of, in one hash."""
    digest = hashlib.sha256(f"{below}\n".encode())
    for name in sorted(sources):
        content = hashlib.sha256(sources[name].read_bytes()).hexdigest()
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def _ensure(client: DockerClient, role: Role, python_base: str, cache: Path) -> ImageRef:
    started = time.monotonic()
    sources = image_sources(checkout_file(FILES[0]).parent)
    expected = made_of(layer_reference(role.packages, python_base), sources)
    made = not _is_made_of(client, role.name, expected)
    if made:
        below = ensure_layer(client, role.packages, python_base, cache)
        log.info("building %s", role.name)
        labels = base_labels(sources, checkout_file(role.packages.lock)) | {MADE_OF: expected}
        build_image(client, role.name, _parts(sources), {"BASE": below}, labels)
    return ImageRef.of(client, role.name, time.monotonic() - started if made else 0.0)


def _is_made_of(client: DockerClient, name: str, expected: str) -> bool:
    try:
        return bool(client.images.get(name).labels.get(MADE_OF) == expected)
    except ImageNotFound:
        return False


def _parts(sources: dict[str, Path]) -> dict[str, Path | bytes]:
    return {
        "Dockerfile": checkout_file(DOCKERFILE),
        "app/README.md": b"",  # pyproject.toml names one; what it says is of no use in there
        **{f"app/{name}": file for name, file in sources.items()},
    }
