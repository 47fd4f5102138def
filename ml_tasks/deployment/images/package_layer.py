"""The packages of each role in an image layer of their own, which the code's images share."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient
from docker.errors import ImageNotFound

from ml_tasks.release.image_build import build_image
from ml_tasks.release.locks import LockEntry, added, lock_text, read_lock
from ml_tasks.release.serving_base import checkout_file
from ml_tasks.release.wheel_server import served
from ml_tasks.release.wheelhouse import ensure_wheels

log = logging.getLogger(__name__)

DOCKERFILE = "docker/packages.Dockerfile"
_BOOTSTRAP = "requirements/bootstrap.txt"
_INSTALLER = "uv"  # installs the others, and does not stay


@dataclass(frozen=True)
class PackageLayer:
    """What is installed for one role, on top of the layer of another (None: the Python base)."""

    role: str
    lock: str
    below: PackageLayer | None = None

    @property
    def repository(self) -> str:
        return f"mammography-{self.role}-packages"

    def pinned(self) -> tuple[LockEntry, ...]:
        """What this layer itself installs."""
        entries = read_lock(checkout_file(self.lock))
        if self.below is not None:
            return added(entries, self.below.everything(), self.lock)
        tools = [entry for entry in bootstrap() if entry.name != _INSTALLER]
        return (*tools, *added(entries, tools, self.lock))

    def everything(self) -> tuple[LockEntry, ...]:
        """What is installed in an image that ends with this layer."""
        return (*(self.below.everything() if self.below else ()), *self.pinned())


AIRFLOW = PackageLayer("airflow", "requirements/airflow.txt")
CPU = PackageLayer("cpu", "requirements/cpu.txt", below=AIRFLOW)
GPU = PackageLayer("gpu", "requirements/gpu.txt", below=AIRFLOW)
KUBERNETES = PackageLayer("kubernetes", "requirements/kubernetes.txt", below=AIRFLOW)


def bootstrap() -> tuple[LockEntry, ...]:
    """pip, setuptools (which installs ml_tasks itself) and the installer."""
    return read_lock(checkout_file(_BOOTSTRAP))


def layer_reference(layer: PackageLayer, python_base: str) -> str:
    """The tag of a layer that rests on `python_base` (an id): other packages, another tag."""
    below = layer_reference(layer.below, python_base) if layer.below else python_base
    digest = hashlib.sha256(f"{below}\n".encode())
    digest.update(checkout_file(DOCKERFILE).read_bytes())
    digest.update(lock_text(layer.pinned()).encode())
    return f"{layer.repository}:{digest.hexdigest()[:12]}"


def ensure_layer(client: DockerClient, layer: PackageLayer, python_base: str, cache: Path) -> str:
    """The tag of the layer; it and those below are built where they are missing.

    Raises:
        ReleaseError: wheels cannot be downloaded, or a build step failed.
    """
    reference = layer_reference(layer, python_base)
    try:
        client.images.get(reference)
        return reference
    except ImageNotFound:
        pass
    below = ensure_layer(client, layer.below, python_base, cache) if layer.below else python_base
    _build(client, layer, below, reference, cache)
    return reference


def _build(
    client: DockerClient, layer: PackageLayer, below: str, reference: str, cache: Path
) -> None:
    entries = layer.pinned()
    installer = [entry for entry in bootstrap() if entry.name == _INSTALLER]
    folders = [
        ensure_wheels(entries, cache, layer.lock),
        ensure_wheels(installer, cache, f"{_INSTALLER} ({_BOOTSTRAP})"),
    ]
    wheels = {wheel.name: wheel for folder in folders for wheel in folder.glob("*.whl")}
    texts = {"lock.txt": lock_text(entries), "installer.txt": lock_text(installer)}
    started = time.monotonic()
    log.info("installing %d packages of %s into %s", len(entries), layer.lock, reference)
    with served(wheels, texts) as address:
        build_image(
            client,
            reference,
            {"Dockerfile": checkout_file(DOCKERFILE)},
            arguments={"BASE": below, "WHEELS": address, "LOCK": "lock.txt"},
            network="host",  # where the wheels are served
        )
    log.info("built %s in %.0f s", reference, time.monotonic() - started)
