"""The serving base image: Python, the locked wheels and the service; every release is FROM it."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from docker import DockerClient
from docker.errors import ImageNotFound

import ml_tasks
from ml_tasks.errors import ReleaseError
from ml_tasks.release.base_labels import base_labels
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.image_build import build_image
from ml_tasks.release.locks import read_lock
from ml_tasks.release.python_base import TAG as PYTHON_BASE
from ml_tasks.release.python_base import ensure_python_base
from ml_tasks.release.wheelhouse import ensure_wheels

log = logging.getLogger(__name__)

REPOSITORY = "mammography-serving-base"
# What the service needs of this package, and nothing else; folders with all their _SHIPPED files.
SERVING_SOURCES = (
    "ml_tasks/__init__.py",
    "ml_tasks/errors.py",
    "ml_tasks/records.py",
    "ml_tasks/storage.py",
    "ml_tasks/imaging",
    "ml_tasks/inference",
    "ml_tasks/release/__init__.py",
    "ml_tasks/release/bundle.py",
    "ml_tasks/serving",
)
# What puts the base's root together, inside its build.
_SLIM_SOURCES = (
    "ml_tasks/__init__.py",
    "ml_tasks/release/__init__.py",
    "ml_tasks/release/slim",
)
_SHIPPED = (".py", ".html", ".css", ".js", ".svg")  # modules, and the files of the page
_LOCK = "requirements/serving.txt"
_DOCKERFILE = "docker/serving.Dockerfile"
_BUILDER = "mammography.builder-of"  # the label of the stage that is of no use afterwards


def serving_base_reference(client: DockerClient) -> str:
    """The tag of the serving base that fits this checkout, which must be there already.

    Raises:
        ReleaseError: it has not been built; names the command that does.
        EngineUnavailable: the engine stopped answering.
    """
    with engine_errors(client, "the serving base was looked for"):
        try:
            reference = _reference(str(client.images.get(PYTHON_BASE).id))
            client.images.get(reference)
        except ImageNotFound:
            raise ReleaseError(
                "the serving base for this version of the code is not there; "
                "run `mammo serving-base` once on this machine, then clear this task"
            ) from None
    return reference


def ensure_serving_base(client: DockerClient, cache: Path) -> str:
    """The tag of the serving base; builds what is missing. `cache` keeps the downloaded wheels.

    Raises:
        ReleaseError: wheels cannot be downloaded, or a build step failed.
        EngineUnavailable: the engine stopped answering.
    """
    python_base = ensure_python_base(client)
    reference = _reference(python_base)
    with engine_errors(client, "the serving base was looked for"):
        try:
            client.images.get(reference)
            log.info("serving base %s is there", reference)
            return reference
        except ImageNotFound:
            pass
    wheels = ensure_wheels(read_lock(checkout_file(_LOCK)), cache, f"the service ({_LOCK})")
    started = time.monotonic()
    log.info("building the serving base %s", reference)
    with engine_errors(client, "the serving base was built"):
        _build(client, python_base, reference, wheels)
        client.images.prune({"dangling": True, "label": f"{_BUILDER}={reference}"})
        size = int(client.images.get(reference).attrs["Size"])
    log.info("built %s: %.0f MB in %.0f s", reference, size / 1e6, time.monotonic() - started)
    return reference


def checkout_file(name: str) -> Path:
    """A file of the checkout that this package runs from.

    Raises:
        ReleaseError: the package was installed without its checkout.
    """
    path = Path(ml_tasks.__file__).parents[1] / name
    if not path.exists():
        raise ReleaseError(
            f"{name} is not beside the package ml_tasks; images are built from a checkout: "
            "install it with `pip install -e`, as ./setup_ml.sh does"
        )
    return path


def serving_sources() -> dict[str, Path]:
    """Every source file of the service and its page: name in the checkout -> path."""
    return _sources(SERVING_SOURCES)


def _sources(names: Iterable[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for name in names:
        path = checkout_file(name)
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in (each for each in found if each.suffix in _SHIPPED):
            files[name if file == path else f"{name}/{file.relative_to(path).as_posix()}"] = file
    return files


def _reference(python_base: str) -> str:
    digest = hashlib.sha256(python_base.encode())
    parts = {name: checkout_file(name) for name in (_LOCK, _DOCKERFILE)}
    parts |= serving_sources() | _sources(_SLIM_SOURCES)
    for name in sorted(parts):
        content = hashlib.sha256(parts[name].read_bytes()).hexdigest()
        digest.update(f"{name} {content}\n".encode())
    return f"{REPOSITORY}:{digest.hexdigest()[:12]}"


def _build(client: DockerClient, python_base: str, reference: str, wheels: Path) -> None:
    parts: Mapping[str, Path | bytes] = {
        "Dockerfile": checkout_file(_DOCKERFILE),
        "serving.txt": checkout_file(_LOCK),
        **{f"wheels/{wheel.name}": wheel for wheel in wheels.glob("*.whl")},
        **{f"app/{name}": file for name, file in serving_sources().items()},
        **{f"slim/{name}": file for name, file in _sources(_SLIM_SOURCES).items()},
    }
    build_image(
        client,
        reference,
        parts,
        arguments={"PYTHON_BASE": python_base, "BASE": reference},
        labels=base_labels(serving_sources(), checkout_file(_LOCK)),
    )
