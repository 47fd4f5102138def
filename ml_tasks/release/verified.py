"""The image under a digest, if everything that `mammo verify` asks of it holds."""

from __future__ import annotations

import logging

from docker import DockerClient

from ml_tasks.config import Config
from ml_tasks.errors import ReleaseError
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.verification import verify_image

log = logging.getLogger(__name__)


def image_reference(config: Config, digest: str) -> str:
    """The image of this digest as engine and registry name it."""
    return f"{config.release.registry}/{config.release.image}@{digest}"


def verified_image(
    config: Config, client: DockerClient, version: str, digest: str, otherwise: str
) -> str:
    """The engine's id of the image under a digest, pulled if the engine lacks it.

    `otherwise` ends the error: what has not happened, and what to do.

    Raises:
        ReleaseError: a check failed, or the image is of another version.
        RegistryUnavailable, RegistryRefused: the registry does not answer, or wants another login.
        EngineUnavailable: the engine stopped answering.
    """
    reference = image_reference(config, digest)
    checks = verify_image(client, config, reference)
    for check in checks:
        log.info("verify: %s", check.line())
    failed = [f"{check.name}: {check.reason}" for check in checks if check.passed is False]
    if failed:
        raise ReleaseError(
            f"{reference} is not the release {version} as it was signed ({'; '.join(failed)}); "
            f"{otherwise}"
        )
    with engine_errors(client, "the image was looked for"):
        return str(client.images.get(reference).id)
