"""The image registry, always through the engine: push, read a digest back, move a tag."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import requests
from docker import DockerClient
from docker.errors import APIError, DockerException, NotFound
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential

from ml_tasks.errors import PushError, PushRefused
from ml_tasks.release.engine import engine_errors

log = logging.getLogger(__name__)

T = TypeVar("T")
_SKIPPED = ("Layer already exists", "Mounted from")
_FINAL = ("denied", "unauthorized", "authentication required", "no basic auth")


@dataclass
class PushReport:
    """What one push did, in uncompressed bytes of layers."""

    digest: str = ""
    bytes_pushed: int = 0
    bytes_skipped: int = 0
    done: set[str] = field(default_factory=set)


def patiently(attempts: int, action: Callable[[], T]) -> T:
    """Tries `action` up to `attempts` times while the registry fails, waiting 2, 4, 8 ... 60 s.

    Raises:
        PushError: the last failure. Anything else passes at once.
    """
    retrying = Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait_exponential(multiplier=2, max=60),
        retry=retry_if_exception(_worth_another_try),
        before_sleep=_announce(attempts),
        reraise=True,
    )
    return retrying(action)


def push(client: DockerClient, image_id: str, repository: str, tag: str) -> PushReport:
    """Tags the image and pushes `<repository>:<tag>`; one log line for each layer.

    Raises:
        PushError: the registry cannot be reached or refuses.
        EngineUnavailable: the engine stopped answering.
    """
    reference = f"{repository}:{tag}"
    report = PushReport()
    with _registry_errors(client, f"{reference} was pushed", reference):
        image = client.images.get(image_id)
        image.tag(repository, tag)
        sizes = _layer_sizes(image.attrs["RootFS"]["Layers"], image.history())
        for event in client.api.push(repository, tag=tag, stream=True, decode=True):
            _note(report, event, sizes, reference)
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


def digest_of(client: DockerClient, repository: str, tag: str) -> str | None:
    """The digest that the registry holds under a tag; None where it has no such tag.

    Raises:
        PushError: the registry cannot be reached or refuses.
        EngineUnavailable: the engine stopped answering.
    """
    reference = f"{repository}:{tag}"
    with _registry_errors(client, f"{reference} was looked up", reference):
        try:
            return str(client.api.inspect_distribution(reference)["Descriptor"]["digest"])
        except NotFound:
            return None
        except APIError as error:
            # Registries word it differently; a repository that was never pushed is unknown as well.
            if "manifest unknown" in str(error) or "name unknown" in str(error):
                return None
            raise


def _note(report: PushReport, event: dict[str, Any], sizes: dict[str, int], reference: str) -> None:
    if "error" in event:
        raise _push_error(reference, str(event["error"]))
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
def _registry_errors(client: DockerClient, doing: str, reference: str) -> Iterator[None]:
    """Tells a lost engine (EngineUnavailable) from a registry that fails (PushError)."""
    try:
        with engine_errors(client, doing):
            yield
    except (DockerException, requests.exceptions.Timeout) as error:
        raise _push_error(reference, str(getattr(error, "explanation", None) or error)) from error


def _push_error(reference: str, reason: str) -> PushError:
    registry = reference.split("/", 1)[0]
    if any(word in reason.lower() for word in _FINAL):
        return PushRefused(
            f"the registry {registry} refuses {reference} ({reason}); log the engine in to it"
        )
    return PushError(f"the registry {registry} cannot be reached or failed ({reason})")


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, PushError) and not isinstance(error, PushRefused)


def _announce(attempts: int) -> Callable[[RetryCallState], None]:
    def announce(state: RetryCallState) -> None:
        log.warning(
            "attempt %d of %d: %s; trying again in %.0f s",
            state.attempt_number,
            attempts,
            state.outcome.exception() if state.outcome else "failed",
            state.next_action.sleep if state.next_action else 0,
        )

    return announce
