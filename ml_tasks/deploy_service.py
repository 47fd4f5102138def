"""Stage deploy_service: the stack's inference service runs the image that `production` names.

The new release is started beside the old one and takes over once it is ready; then the old one
finishes what it is answering. Killed at any point, something serves, and the next run tidies up.
"""

from __future__ import annotations

import logging
import os
from contextlib import closing

from ml_tasks.config import Config
from ml_tasks.records import Record
from ml_tasks.release.audit import Deed, note, read_audit
from ml_tasks.release.engine import DockerClient, connect
from ml_tasks.release.service_place import ServicePlace
from ml_tasks.release.service_switch import end_others, serving_already, start_beside, switch_errors
from ml_tasks.release.serving_containers import ServingContainers, Wanted
from ml_tasks.release.shipped_now import shipped_now
from ml_tasks.release.verified import image_reference
from ml_tasks.storage import locked

log = logging.getLogger(__name__)


class Deployed(Record):
    """What serves now, and whether this run changed anything."""

    version: str
    digest: str
    network: str
    container: str
    started: bool  # by this run; else it served already
    ready_seconds: float
    ended: tuple[str, ...] = ()  # versions whose containers were ended

    def summary(self) -> str:
        """One line for the log and for people."""
        before = f"; ended {', '.join(self.ended)}" if self.ended else ""
        if not self.started:
            return f"{self.version} ({self.digest[:19]}) serves already, and is ready{before}"
        return (
            f"{self.version} ({self.digest[:19]}) serves, ready {self.ready_seconds:.1f} s after "
            f"its start{before}"
        )


def deploy_service(config: Config) -> Deployed:
    """`follow_production` as the environment says, with this machine's Docker engine.

    Raises:
        StageSkipped: no network is named: no service follows `production` here.
        EngineUnavailable: no engine answers; else as `follow_production`.
    """
    place = ServicePlace.from_environment(os.environ, config.paths.statistics)
    with closing(connect()) as client:
        return follow_production(config, client, place)


def follow_production(config: Config, client: DockerClient, place: ServicePlace) -> Deployed:
    """Lets what `production` names serve at a place; the same again changes nothing.

    Raises:
        StageSkipped: no model was ever released.
        ReleaseError: the tag was not moved by this pipeline, the image is not as it was signed, or
            it does not become ready. What served goes on.
        ChampionError, AuditError: ledger or audit log is damaged; nothing was changed.
        ConfigError: the engine does not know the place's network.
        StorageError: the statistics folder or the audit log cannot be written.
        RegistryUnavailable, RegistryRefused: the registry does not tell, or not give the image.
        EngineUnavailable: the engine stopped answering.
    """
    # Whoever comes second finds what the first one did.
    with locked(config.paths.releases / f"service-{place.network}"):
        move = shipped_now(config)
        wanted = Wanted(move.version, move.digest, image_reference(config, move.digest))
        containers = ServingContainers(client, place)
        with switch_errors(containers, wanted.version):
            done = _deployed(config, containers, wanted)
    log.info("%s", done.summary())
    return done


def _deployed(config: Config, containers: ServingContainers, wanted: Wanted) -> Deployed:
    serving = serving_already(config, containers, wanted)
    if serving is None:
        serving = start_beside(config, containers, wanted)
    network = containers.place.network
    # First: with two versions answering in turn, a log that cannot be written would leave it so.
    ended = end_others(config, containers, serving.container)
    _note_once(config, network, wanted)
    return Deployed(
        version=wanted.version,
        digest=wanted.digest,
        network=network,
        container=str(serving.container.name),
        started=serving.started,
        ready_seconds=serving.ready_seconds,
        ended=ended,
    )


def _note_once(config: Config, network: str, wanted: Wanted) -> None:
    """The audit log's line, unless its last one of this network says the same."""
    releases, why = config.paths.releases, f"serves on the network {network}"
    lines = [
        entry.digest
        for entry in read_audit(releases)
        if (entry.deed, entry.why) == (Deed.DEPLOYED, why)
    ]
    if lines[-1:] != [wanted.digest]:
        note(releases, Deed.DEPLOYED, wanted.version, why=why, digest=wanted.digest)
