"""From the release that serves to the next one: beside it first, then in its place.

Killed at any point, something serves that did before, or the new one does. What is left over is
known by its label and ended by the next run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from docker.errors import DockerException
from docker.models.containers import Container

from ml_tasks.config import Config
from ml_tasks.errors import EngineUnavailable, ReleaseError
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.serving_containers import VERSION, ServingContainers, Wanted
from ml_tasks.release.statistics_folder import give_statistics_folder
from ml_tasks.release.verified import verified_image

log = logging.getLogger(__name__)

# The front keeps an address for a second of its clock, so for two at most: until then it may not
# know the new one, and the old one must still answer.
FRONT_SECONDS = 2.5
_TO_SPARE = 5.0  # seconds that an old service gets beyond those in which it should end
_KEPT = "what served goes on; roll back, or ship a new release"


@dataclass(frozen=True)
class Serving:
    """The container that serves, and whether it was started just now; `ready_seconds` if so."""

    container: Container
    started: bool = False
    ready_seconds: float = 0.0


@contextmanager
def switch_errors(containers: ServingContainers, version: str) -> Iterator[None]:
    """Turns what the engine refuses inside the block into a ReleaseError, its loss into
    EngineUnavailable."""
    try:
        with engine_errors(containers.client, "the service was deployed"):
            yield
    except DockerException as error:
        raise ReleaseError(
            f"the engine did not do what deploying {version} takes ({error}); what served goes on. "
            "Mend that, then clear this task"
        ) from error


def serving_already(
    config: Config, containers: ServingContainers, wanted: Wanted
) -> Serving | None:
    """The newest container that serves just this, if it answers."""
    for container in reversed(containers.all()):
        if not (containers.is_of(container, wanted) and containers.is_live(container)):
            continue
        try:
            seconds = config.release.smoke.ready_seconds
            containers.wait_until_ready(container, wanted.version, seconds)
            return Serving(container)
        except ReleaseError as error:
            log.warning("%s serves %s and is replaced: %s", container.name, wanted.version, error)
    return None


def start_beside(config: Config, containers: ServingContainers, wanted: Wanted) -> Serving:
    """A new container that serves, beside those that did; without a trace if it does not.

    Raises:
        ReleaseError: the image is not as it was signed, or it does not become ready.
    """
    verified_image(config, containers.client, wanted.version, wanted.digest, _KEPT)
    give_statistics_folder(config.paths.statistics)
    container = containers.start(wanted)
    log.info("%s is started beside what serves", container.name)
    try:
        seconds = config.release.smoke.ready_seconds
        took = containers.wait_until_ready(container, wanted.version, seconds)
        containers.take_on(container)
        containers.wait_until_ready(container, wanted.version, seconds)
    except BaseException as error:
        _remove(containers, container)
        if isinstance(error, ReleaseError):
            raise ReleaseError(
                f"{wanted.version} does not serve and was removed again; {_KEPT}. {error}"
            ) from error
        raise
    return Serving(container, started=True, ready_seconds=took)


def end_others(
    config: Config, containers: ServingContainers, serving: Container
) -> tuple[str, ...]:
    """Ends whatever else is of this place: the release before, and what killed runs left.

    Gives their versions.
    """
    others = [each for each in containers.all() if each.id != serving.id]
    if any(containers.is_live(each) for each in others):
        time.sleep(FRONT_SECONDS)
    for each in others:
        containers.end(each, config.release.smoke.drain_seconds + _TO_SPARE)
    return tuple(each.labels.get(VERSION, str(each.name)) for each in others)


def _remove(containers: ServingContainers, container: Container) -> None:
    try:
        with engine_errors(containers.client, "the new service was removed"):
            containers.end(container, 0)
    except (DockerException, EngineUnavailable) as error:
        # Not raised: it would hide why it does not serve. The next run removes what is left.
        log.warning("%s could not be removed: %s", container.name, error)
