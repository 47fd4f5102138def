"""The champion of a run: the model in production, found once, by digest, as the run begins."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from pydantic import ValidationError

from ml_tasks.config import Config
from ml_tasks.errors import ChampionError, ReleaseError, StageOrderError
from ml_tasks.records import Record
from ml_tasks.release.bundle import bundle_of, verify
from ml_tasks.release.ledger import NAME, WRITE_ANEW, Move, read_moves
from ml_tasks.release.registry_api import manifest_url, tag_digest
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import write_bytes

log = logging.getLogger(__name__)

PRODUCTION = "production"
_FILE = "champion.json"  # in the run's folder: all of its stages go by it


class Champion(Record):
    """What was in production as the run began; without version and digest: nothing ever was."""

    version: str | None
    digest: str | None
    registry: str | None  # that was asked; None: this run does not push, the ledger alone was asked
    proof: str  # by what this is known, for people


def find_champion(config: Config, ask_registry: bool) -> Champion:
    """Asks the release ledger and, where the run means to push, the registry.

    "None was ever released" needs both to say so (or the ledger alone, where it alone is asked):
    no line of a move, no release with a push record, no `production` in the registry.

    Raises:
        ChampionError: the two contradict each other, the ledger is damaged or gone, or the
            champion's release is gone or was altered.
        RegistryUnavailable: the registry was to be asked and does not answer.
    """
    releases = config.paths.releases
    moves = read_moves(releases)
    if moves is None:
        _refuse_lost_ledger(releases)
    url = manifest_url(config.release, PRODUCTION) if ask_registry else None
    digest = _last(moves) if url is None else tag_digest(config.release, PRODUCTION)
    move = _move_to(digest, moves or [], url, releases)
    source = (
        "the release ledger says so (the registry was not asked: this run does not push)"
        if url is None
        else "the release ledger and the registry agree"
    )
    if move is None:
        return Champion(
            version=None,
            digest=None,
            registry=url,
            proof=f"no model was ever released: {source}",
        )
    _check_release(releases, move)
    return Champion(
        version=move.version,
        digest=move.digest,
        registry=url,
        proof=f"{move.version} is in production: {source}",
    )


def note_champion(run: RunPaths, champion: Champion) -> None:
    """Leaves the champion in the run's folder, for its later stages."""
    write_bytes(run.root / _FILE, champion.model_dump_json(indent=2).encode())
    log.info(champion.proof)


def champion_of(run: RunPaths) -> Champion:
    """The champion that this run began with.

    Raises:
        StageOrderError: the run has noted none, or the note is damaged.
    """
    path = run.root / _FILE
    try:
        return Champion.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError) as error:
        raise StageOrderError(
            f"{path} is missing or damaged ({type(error).__name__}), so it is not known what was "
            "in production when this run began; start a new run"
        ) from error


def _last(moves: list[Move] | None) -> str | None:
    return moves[-1].digest if moves else None


def _refuse_lost_ledger(releases: Path) -> None:
    pushed = sorted(releases.glob("*/record/push.json"))
    if pushed:
        raise ChampionError(
            f"{releases / NAME} is missing, but {pushed[-1].parent.parent.name} was released (it "
            f"has a push record), so what is in production is not known; restore the ledger from "
            f"a copy, or {WRITE_ANEW}"
        )


def _move_to(digest: str | None, moves: list[Move], url: str | None, releases: Path) -> Move | None:
    """The latest move to what is in production; None where nothing ever was."""
    if digest is None and moves:
        raise ChampionError(
            f"the registry holds no `{PRODUCTION}` at {url}, but the release ledger says that "
            f"{moves[-1].version} was released as {moves[-1].reference}; set release.registry and "
            "release.image back to that place, or put it back there (mammo release --run "
            "'<its run>')"
        )
    found = [move for move in moves if move.digest == digest]
    if digest is not None and not found:
        raise ChampionError(
            f"`{PRODUCTION}` is {digest} at {url}, which {releases / NAME} does not know; if a "
            f"push was interrupted, {WRITE_ANEW}; else restore the ledger from a copy, or point "
            "paths.releases to the releases of that registry"
        )
    return found[-1] if found else None


def _check_release(releases: Path, move: Move) -> None:
    try:
        verify(bundle_of(releases, move.version))
    except ReleaseError as error:
        raise ChampionError(
            f"{move.version} is in production, but its release cannot be compared with ({error}); "
            f"restore {releases / move.version} from a copy"
        ) from error
