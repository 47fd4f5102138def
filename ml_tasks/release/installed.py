"""What is installed in an image, asked inside of it: packages with versions and licences."""

from __future__ import annotations

import requests
from docker import DockerClient
from docker.errors import DockerException
from pydantic import ValidationError

from ml_tasks.errors import ReleaseError
from ml_tasks.records import Record
from ml_tasks.release.confinement import confined
from ml_tasks.release.engine import engine_errors

_COMMAND = ["python", "-m", "ml_tasks.serving.packages"]
_MEMORY = 256 << 20  # bytes
_PROCESSES = 16
_SECONDS = 120


class PythonPackage(Record):
    """A package as its own metadata state it; what they do not state is empty."""

    name: str
    version: str
    expression: str  # SPDX
    licence: str  # in the packager's words
    classifiers: tuple[str, ...]


class DebianPackage(Record):
    """A package as Debian has it; `source` is empty where it is named alike."""

    name: str
    version: str
    architecture: str
    source: str


class Installed(Record):
    """Everything that an image lists; `system` is empty where it does not say what it is."""

    python: str
    system: dict[str, str]
    python_packages: tuple[PythonPackage, ...]
    debian_packages: tuple[DebianPackage, ...]


def installed_in(client: DockerClient, image_id: str) -> Installed:
    """Runs the image once, without network and rights, and has it list what it holds.

    Raises:
        ReleaseError: it does not run, or lists nothing that can be read.
        EngineUnavailable: the engine stopped answering.
    """
    try:
        with engine_errors(client, "the packages of the image were listed"):
            return Installed.model_validate_json(_listed(client, image_id))
    except (DockerException, requests.exceptions.Timeout, ValidationError) as error:
        raise _unlisted(image_id, str(error)[:500]) from error


def _listed(client: DockerClient, image_id: str) -> bytes:
    # Not `containers.run`: it leaves a container behind that cannot be started.
    container = client.containers.create(
        image_id,
        entrypoint=_COMMAND,
        command=[],
        network_mode="none",
        **confined(_MEMORY, _PROCESSES),
    )
    try:
        container.start()
        status = container.wait(timeout=_SECONDS)["StatusCode"]
        if status:
            raise _unlisted(image_id, container.logs(tail=5).decode(errors="replace").strip())
        return container.logs(stdout=True, stderr=False)
    finally:
        container.remove(force=True, v=True)


def _unlisted(image_id: str, reason: str) -> ReleaseError:
    return ReleaseError(
        f"the image {image_id[:19]} does not list its packages ({reason}), so that no bill of "
        "materials can be made; run `mammo serving-base`, then build_image again"
    )
