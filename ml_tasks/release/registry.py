"""The push of an image, by the engine: layers and manifest go to the registry under one tag."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from docker import DockerClient
from docker.errors import DockerException

from ml_tasks.errors import PushError, PushRefused
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.registry_login import PASSWORD, USER, Login

log = logging.getLogger(__name__)

_SKIPPED = ("Layer already exists", "Mounted from")
_FINAL = ("denied", "unauthorized", "authentication required", "no basic auth")


@dataclass
class PushReport:
    """What one push did, in uncompressed bytes of layers."""

    digest: str = ""
    bytes_pushed: int = 0
    bytes_skipped: int = 0
    done: set[str] = field(default_factory=set)


def push(
    client: DockerClient, image_id: str, repository: str, tag: str, login: Login | None
) -> PushReport:
    """Tags the image and pushes `<repository>:<tag>`; one log line for each layer.

    Raises:
        PushError: the registry cannot be reached or refuses.
        EngineUnavailable: the engine stopped answering.
    """
    reference = f"{repository}:{tag}"
    report = PushReport()
    with _registry_errors(client, reference, login):
        image = client.images.get(image_id)
        image.tag(repository, tag)
        sizes = _layer_sizes(image.attrs["RootFS"]["Layers"], image.history())
        # {} and not None: else the SDK would look for a login itself, and quote what a helper says.
        given = {} if login is None else login.for_engine()
        for event in client.api.push(
            repository, tag=tag, stream=True, decode=True, auth_config=given
        ):
            _note(report, event, sizes)
        if not report.digest:
            raise DockerException("the push ended without a digest")
    log.info(
        "%s: %s bytes pushed, %s bytes already there, digest %s",
        reference,
        f"{report.bytes_pushed:,}",
        f"{report.bytes_skipped:,}",
        report.digest,
    )
    return report


def _note(report: PushReport, event: dict[str, Any], sizes: dict[str, int]) -> None:
    if "error" in event:
        raise DockerException(str(event["error"]))
    report.digest = event.get("aux", {}).get("Digest", report.digest)
    layer, status = event.get("id", ""), event.get("status", "")
    if layer in report.done:
        return
    if status == "Pushed":
        report.done.add(layer)
        report.bytes_pushed += sizes.get(layer, 0)
        log.info("layer %s: pushed %s bytes", layer, f"{sizes.get(layer, 0):,}")
    elif status.startswith(_SKIPPED):
        report.done.add(layer)
        report.bytes_skipped += sizes.get(layer, 0)
        log.info("layer %s: %s bytes are there already", layer, f"{sizes.get(layer, 0):,}")
    elif status.startswith("Retrying"):
        log.info("layer %s: %s", layer, status)


def _layer_sizes(layers: list[str], history: list[dict[str, Any]]) -> dict[str, int]:
    """Bytes of each layer by the short id that push events use; history lists the newest first."""
    sizes = [int(step["Size"]) for step in reversed(history) if step["Size"]]
    if len(sizes) != len(layers):  # an empty layer among them: no size can be told apart
        return {}
    return {
        layer.removeprefix("sha256:")[:12]: size for layer, size in zip(layers, sizes, strict=True)
    }


@contextmanager
def _registry_errors(client: DockerClient, reference: str, login: Login | None) -> Iterator[None]:
    """Tells a lost engine (EngineUnavailable) from a registry that fails (PushError)."""
    try:
        with engine_errors(client, f"{reference} was pushed"):
            yield
    except (DockerException, requests.exceptions.Timeout) as error:
        reason = str(getattr(error, "explanation", None) or error)
        # The registry's own words stand in it, and nobody knows what it repeats.
        reason = reason if login is None else login.masked(reason)
        raise _push_error(reference, reason, login) from (None if login else error)


def _push_error(reference: str, reason: str, login: Login | None) -> PushError:
    registry = reference.split("/", 1)[0]
    if any(word in reason.lower() for word in _FINAL):
        used = "without a login" if login is None else f"with the login {login.source}"
        return PushRefused(
            f"the registry {registry} refuses {reference} {used} ({reason}); run `docker login "
            f"{registry}` as the user that runs this worker, or set {USER} and {PASSWORD}"
        )
    return PushError(f"the registry {registry} cannot be reached or failed ({reason})")
