"""`mammo rollback`: `production` goes back to a release that was shipped, without a build."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.errors import ProductionMoved, ReleaseError
from ml_tasks.release.audit import read_audit
from ml_tasks.release.audited_moves import note_moved
from ml_tasks.release.bundle import bundle_of, verify
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.ledger import Move, move_to, note_move, predecessor, read_moves
from ml_tasks.release.moving import movers_lock, noting, now, point_production
from ml_tasks.release.registry_api import Manifest, Registry

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unmoved:
    """`production` and how many moves the ledger held when `version` was chosen to serve again.

    Called with what serves and the moves now, it refuses where anything but `digest` was moved to
    since, though what served may be back by now: whoever went back meanwhile is not undone.
    """

    version: str
    digest: str
    production: str | None
    moves: int | None  # None: not known

    def __call__(self, serving: str | None, moves: Sequence[Move]) -> None:
        """Raises ProductionMoved."""
        since = [] if self.moves is None else moves[self.moves :]
        other = next((move for move in reversed(since) if move.digest != self.digest), None)
        if serving in (self.production, self.digest) and other is None:
            return
        told = f", after a move to {other.version} ({other.summary})" if other else ""
        raise ProductionMoved(
            f"{PRODUCTION} was {self.production or 'nothing'} when {self.version} was chosen, and "
            f"is {serving or 'nothing'} now{told}; it was left there. If {self.version} shall "
            "serve all the same, start a new rollback"
        )


def roll_back(
    config: Config,
    version: str | None = None,
    reason: str = "",
    who: str | None = None,
    digest: str | None = None,
    allowed: Callable[[str | None, Sequence[Move]], None] | None = None,
) -> Move:
    """Moves `production` to `version`, else to what stood before what serves; gives the move.

    `who` did it, for the audit log; without a name, whoever is `acting`. `digest`, where one was
    tested, is all that is moved to. `allowed` is handed what serves and the ledger's moves, while
    nobody else can move, and raises to stop it.

    Raises:
        ReleaseError: there is no such release, its image is gone or is not `digest`, or its bundle
            was altered.
        ProductionMoved: something else was put into production meanwhile.
        ChampionError, AuditError: the ledger or the audit log is damaged.
        StorageError: the move stands, and could not be noted; the same again notes it.
        PushError, RegistryUnavailable, RegistryRefused: the registry does not do it.
    """
    releases = config.paths.releases
    with movers_lock(releases), Registry(config.release) as registry:
        moves = read_moves(releases) or []
        read_audit(releases)  # a damaged audit log stops it before anything moves
        serving = registry.digest(PRODUCTION)
        if allowed is not None:
            allowed(serving, moves)
        target = _target(moves, serving, version)
        if digest not in (None, target.digest):
            raise ReleaseError(
                f"{digest} was tested, but {target.version} was shipped as {target.digest}, so "
                "nothing was moved; test that one: run the rollback anew"
            )
        manifest = _image_of(registry, target)
        _check_bundle(releases, target)
        _warn_of_tag(registry, target)

        def unmoved(found: str | None) -> None:
            if found != serving:
                raise ProductionMoved(
                    f"{PRODUCTION} was {serving} and is {found or 'nothing'} now: somebody moves "
                    "it past this pipeline; it was left there. See `mammo releases`, then try again"
                )

        point_production(registry, manifest, config.release.push_attempts, unmoved)
        # Lost, or moved there past the ledger: then it came from what the ledger had noted last.
        before = serving if serving not in (None, target.digest) else moves[-1].digest
        move = target.model_copy(
            update={
                "moved_at": now(),
                "digest_before": before,
                "kind": "rollback",
                "reason": " ".join(reason.split())[:500],
            }
        )
        with noting(move.version, f"mammo rollback {move.version} notes it"):
            note_move(releases, move)
            note_moved(releases, move, who, move.reason)
    log.info("%s serves %s again", PRODUCTION, target.version)
    return move


def _target(moves: Sequence[Move], serving: str | None, version: str | None) -> Move:
    if not moves:
        raise ReleaseError("nothing was ever shipped, so there is nothing to go back to")
    if version is not None:
        found = [move for move in moves if move.version == version]
        if not found:
            known = ", ".join(sorted({move.version for move in moves}, reverse=True)[:5])
            raise ReleaseError(
                f"{version} was never in production, so it is not put there now; shipped were "
                f"{known}; a new model ships through its gate alone"
            )
        return found[-1]
    if serving is None:
        raise ReleaseError(
            f"the registry holds no `{PRODUCTION}`, so nothing stood before it; name the version, "
            f"for example: mammo rollback {moves[-1].version}"
        )
    now_serving = move_to(moves, serving)
    if now_serving is not None and serving != moves[-1].digest:
        # A rollback that was cut off before its line looks like this: once more would be one too
        # many.
        raise ReleaseError(
            f"{PRODUCTION} is {now_serving.version}, but the ledger's last move is to "
            f"{moves[-1].version} (a rollback was interrupted, or somebody moved the tag by hand), "
            "so it is not certain what you mean; name the version that shall serve: mammo rollback "
            f"{now_serving.version}, if it is that one"
        )
    target = predecessor(moves, serving)
    if target is None:
        raise ReleaseError(
            f"{now_serving.version if now_serving else serving} is the first release, nothing "
            "stood before it; `mammo releases` lists what was shipped"
        )
    return target


def _image_of(registry: Registry, target: Move) -> Manifest:
    """The very image that was shipped, which a pull would get whole."""
    manifest = registry.manifest(target.digest)
    gone = [target.digest] if manifest is None else registry.lacks(manifest)
    if manifest is None or gone:
        raise ReleaseError(
            f"the registry does not hold the image of {target.version} any more ({gone[0]} is "
            f"missing), so nothing was moved; choose another version of `mammo releases`"
        )
    return manifest


def _check_bundle(releases: Path, target: Move) -> None:
    """Later runs compare with the bundle; one that was altered shall not become their measure."""
    bundle = bundle_of(releases, target.version)
    if bundle.exists():
        verify(bundle)
    else:
        log.warning(
            "%s is not there (removed, or moved away): put it back before the next run, which is "
            "compared with it",
            bundle,
        )


def _warn_of_tag(registry: Registry, target: Move) -> None:
    found = registry.digest(target.version)
    if found != target.digest:
        log.warning(
            "the registry's tag %s is %s, shipped was %s; the image that was shipped is used",
            target.version,
            found or "gone",
            target.digest,
        )
