"""One release on its way: its version into the registry, then `production` to that very digest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from docker import DockerClient

from ml_tasks.config import Config
from ml_tasks.errors import (
    ProductionMoved,
    PushError,
    PushRefused,
    RegistryRefused,
    RegistryUnavailable,
)
from ml_tasks.records import Decision, ImageRecord
from ml_tasks.release.audited_moves import note_moved
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.ledger import Move, note_move, read_moves, rolled_back
from ml_tasks.release.moving import movers_lock, noting, now, point_production
from ml_tasks.release.patience import patiently
from ml_tasks.release.registry import PushReport, push
from ml_tasks.release.registry_api import Manifest, Registry
from ml_tasks.release.registry_login import Login

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Moved:
    """What `production` was before, and whether this attempt moved it."""

    before: str | None
    moved: bool


@dataclass(frozen=True)
class Shipment:
    """A tested image, the decision it ships by, and where it goes."""

    image: ImageRecord
    decision: Decision
    config: Config

    @property
    def repository(self) -> str:
        return f"{self.config.release.registry}/{self.config.release.image}"

    @property
    def reference(self) -> str:
        return f"{self.repository}:{self.image.version}"

    @property
    def _clear(self) -> str:
        return f"clear push_model, or run mammo release --run '{self.image.run_id}'"

    def push_version(self, client: DockerClient, registry: Registry) -> tuple[PushReport, Manifest]:
        """Pushes the version, unless it is there, and reads back what the registry holds.

        Raises:
            ProductionMoved: the move that must follow would be refused, so nothing is pushed.
            PushRefused: the registry wants another login, or holds another image as this version.
            PushError: it failed, after the retries of the configuration.
            EngineUnavailable: the engine stopped answering.
        """

        def attempt() -> tuple[PushReport, Manifest]:
            there = registry.manifest(self.image.version)
            own = None if there is None else there.digest
            self._check_production(registry.digest(PRODUCTION), own)
            if there is not None:
                self._check_image(there)
                gone = registry.lacks(there)
                if not gone:
                    log.info("%s is there already as %s", self.reference, there.digest)
                    return PushReport(there.digest, bytes_skipped=self.image.size_bytes), there
                log.warning("the registry has lost %s of %s", ", ".join(gone), self.reference)
            login = _login(registry)
            report = push(client, self.image.image_id, self.repository, self.image.version, login)
            there = registry.manifest(self.image.version)
            if there is None or there.digest != report.digest:
                raise PushError(
                    f"the registry holds {there.digest if there else 'nothing'} under "
                    f"{self.reference}, pushed was {report.digest}"
                )
            self._check_image(there)
            return report, there

        with self._explained(f"{PRODUCTION} has not moved"):
            return patiently(self.config.release.push_attempts, attempt)

    def move_production(
        self, registry: Registry, manifest: Manifest, still_cleared: Callable[[], None]
    ) -> Moved:
        """Moves `production` in one step and notes it in the ledger, then in the audit log.

        A push takes minutes, and so may waiting for another mover: `still_cleared` raises where
        the model may not ship any more.

        Raises:
            ProductionMoved: it is not what the gate compared with any more.
            PushError: the registry did not take it, after the retries of the configuration.
            ChampionError, AuditError: the ledger or the audit log is damaged.
        """
        releases, attempts = self.config.paths.releases, self.config.release.push_attempts
        allowed = partial(self._check_production, own=manifest.digest)
        with self._explained(f"{self.reference} is pushed"), movers_lock(releases):
            still_cleared()
            before = point_production(registry, manifest, attempts, allowed)
            moved = before != manifest.digest
            if not moved:  # an earlier attempt moved it, from what the gate compared with
                before = self.decision.production
            move = Move(
                version=self.image.version,
                digest=manifest.digest,
                reference=self.reference,
                moved_at=now(),
                digest_before=before,
            )
            with noting(move.version, f"{self._clear}, which notes it"):
                note_move(releases, move)
                note_moved(releases, move, why=f"run {self.image.run_id}")
        return Moved(before, moved)

    def _check_production(self, found: str | None, own: str | None) -> None:
        """Refuses to move `production` from what it is now, `found`, unless that was compared with.

        `own` is this release's digest, as far as the registry holds it.
        """
        moves = read_moves(self.config.paths.releases) or []
        if found is not None and found == own:
            return
        away = None if own is None else rolled_back(moves, self.image.version, own)
        if away is not None:
            raise ProductionMoved(
                f"{self.image.version} was taken out of production ({away.summary}) and is not put "
                f"back by a re-run; if it shall serve: mammo rollback {self.image.version}"
            )
        # What the ledger says is in production may be put back into a registry that has lost it.
        lost = found is None and [move.version for move in moves[-1:]] == [self.image.version]
        if found != self.decision.production and not lost:
            raise ProductionMoved(
                f"{PRODUCTION} is {found or 'nothing'} now, but the gate compared "
                f"{self.image.version} with "
                f"{self.decision.production or 'nothing, since no model was ever released'}; "
                f"{PRODUCTION} was left where it is. Start a new run, which is compared with what "
                "is in production then"
            )

    def _check_image(self, there: Manifest) -> None:
        if not there.is_of(self.image.image_id):
            raise PushRefused(
                f"the registry holds another image as {self.reference} ({there.digest}) than the "
                f"one that was tested ({self.image.image_id}); a version is never overwritten: "
                "start a new run, which gets a version of its own"
            )

    @contextmanager
    def _explained(self, state: str) -> Iterator[None]:
        """Says of each failure what became of the release, and what to do."""
        kept = f"the release is kept in {Path(self.image.bundle).parent}; {state}"
        try:
            yield
        except PushRefused:
            raise
        except RegistryRefused as error:
            raise PushRefused(f"{error}; {kept}; then {self._clear}") from error
        except (PushError, RegistryUnavailable) as error:
            raise PushError(f"{error}; {kept}; start the registry and {self._clear}") from error


def _login(registry: Registry) -> Login | None:
    """None where none can be looked up: up to here none was asked for, and many want none."""
    try:
        return registry.login
    except RegistryRefused as error:
        log.warning("the engine pushes without a login: %s", error)
        return None
