"""What `production` names, if this pipeline moved it there: that, and nothing else, may serve."""

from __future__ import annotations

from ml_tasks.config import Config
from ml_tasks.errors import ReleaseError, StageSkipped
from ml_tasks.release.audit import read_audit
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.ledger import Move, move_to, read_moves
from ml_tasks.release.moving import movers_lock
from ml_tasks.release.registry_api import Registry

_KEPT = "what serves goes on serving"


def shipped_now(config: Config) -> Move:
    """The ledger's last move, which the registry's `production` agrees with.

    Raises:
        StageSkipped: no model was ever released.
        ReleaseError: the tag is gone, or was moved past the ledger.
        ChampionError, AuditError: the ledger or the audit log is damaged or was edited.
        RegistryUnavailable, RegistryRefused: the registry does not tell.
    """
    releases = config.paths.releases
    # A mover writes the tag first and its line a moment later: neither is looked at in between.
    with movers_lock(releases), Registry(config.release) as registry:
        moves = read_moves(releases) or []
        read_audit(releases)
        digest = registry.digest(PRODUCTION)
        place = registry.base
    if digest is None and not moves:
        raise StageSkipped(
            f"no model was ever released ({place} holds no `{PRODUCTION}`, the ledger no move), so "
            "there is nothing to serve"
        )
    if digest is None:
        raise ReleaseError(
            f"{place} holds no `{PRODUCTION}`, but the ledger says that {moves[-1].version} was "
            f"released; {_KEPT}. `mammo rollback {moves[-1].version}` puts the tag back"
        )
    if not moves or moves[-1].digest != digest:
        raise ReleaseError(_moved_past(digest, moves))
    return moves[-1]


def _moved_past(digest: str, moves: list[Move]) -> str:
    known = move_to(moves, digest)
    what = f"{digest}, which the ledger does not know" if known is None else f"{known.version}"
    last = f"its last move is to {moves[-1].version}" if moves else "it knows no move at all"
    name = known.version if known else moves[-1].version if moves else "VERSION"
    return (
        f"`{PRODUCTION}` is {what}, but the ledger says that {last}: somebody moved the tag by "
        f"hand, or a push or rollback was cut off right after its move; {_KEPT}. Clear that task, "
        f"or run `mammo rollback {name}`, if that one shall serve"
    )
