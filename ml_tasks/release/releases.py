"""`mammo releases`: what was shipped, what serves, what stood before, and what does not agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.errors import RegistryRefused, RegistryUnavailable
from ml_tasks.records import Record
from ml_tasks.release.bundle import bundle_of
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.ledger import Move, move_to, predecessor, read_moves
from ml_tasks.release.registry_api import Registry
from ml_tasks.release.returnable import judged_in

PRUNED = "pruned"  # the note of a removal in a release's record


class Shipped(Record):
    """One release that was in production at least once."""

    version: str
    shipped_at: str
    verdict: str  # of the gate; empty where the bundle is gone
    auc: float | None  # of the test patients
    digest: str
    serves: bool = False
    previous: bool = False  # what `mammo rollback` goes back to
    in_registry: bool | None = None  # None: the registry was not to be asked
    pruned: bool = False


class Releases(Record):
    """Every release by time, the newest first; `problems` says what does not agree."""

    repository: str
    production: str | None  # the digest that serves, by the registry alone
    releases: tuple[Shipped, ...]
    problems: tuple[str, ...]

    def table(self) -> str:
        """For people."""
        lines = [f"{'version':<31}{'shipped (UTC)':<21}{'verdict':<14}{'AUC':<7}digest"]
        for each in self.releases:
            auc = "" if each.auc is None else f"{each.auc:.3f}"
            digest = each.digest.removeprefix("sha256:")[:12]
            line = f"{each.version:<31}{each.shipped_at[:19]:<21}{each.verdict:<14}{auc:<7}{digest}"
            lines.append(f"{line}  {_state(each)}".rstrip())
        if not self.releases:
            lines = [f"nothing was ever shipped to {self.repository}"]
        return "\n".join([*lines, *(f"PROBLEM: {each}" for each in self.problems)]) + "\n"


def list_releases(config: Config, ask_registry: bool = True) -> Releases:
    """The releases of the ledger, held against the registry, whose tag is the one truth.

    Not asked, the registry is as one that does not answer: what serves is then not known.

    Raises:
        ChampionError: the ledger is damaged.
    """
    moves = read_moves(config.paths.releases) or []
    problems: list[str] = []
    tags: dict[str, str | None] | None = None
    try:
        if ask_registry:
            with Registry(config.release) as registry:
                tags = {tag: registry.digest(tag) for tag in [PRODUCTION, *_versions(moves)]}
    except (RegistryUnavailable, RegistryRefused) as error:
        problems.append(f"what serves is not known: {error}")
    production = tags[PRODUCTION] if tags is not None else None
    before = predecessor(moves, production)
    rows = tuple(
        _row(config.paths.releases, moves, version, tags).model_copy(
            update={"previous": before is not None and before.version == version}
        )
        for version in _versions(moves)
    )
    if tags is not None:
        problems += _disagreements(moves, production, rows, tags)
    return Releases(
        repository=f"{config.release.registry}/{config.release.image}",
        production=production,
        releases=rows,
        problems=tuple(problems),
    )


def is_pruned(releases: Path, version: str, bundle_too: bool = False) -> bool:
    """Whether `mammo prune` has removed the image of a version, or its bundle, too."""
    notes = (releases / version / "record").glob(f"{PRUNED}*.json")
    if bundle_too:
        return any(json.loads(note.read_bytes()).get("bundle_too") is True for note in notes)
    return any(notes)


def _versions(moves: Sequence[Move]) -> list[str]:
    """The newest first: versions sort by time."""
    return sorted({move.version for move in moves}, reverse=True)


def _row(
    releases: Path, moves: Sequence[Move], version: str, tags: dict[str, str | None] | None
) -> Shipped:
    own = [move for move in moves if move.version == version]
    verdict, auc = judged_in(bundle_of(releases, version))
    return Shipped(
        version=version,
        shipped_at=own[0].moved_at,
        verdict=verdict,
        auc=auc,
        digest=own[-1].digest,
        serves=tags is not None and tags[PRODUCTION] == own[-1].digest,
        in_registry=None if tags is None else tags[version] == own[-1].digest,
        pruned=is_pruned(releases, version),
    )


def _disagreements(
    moves: Sequence[Move],
    production: str | None,
    rows: Sequence[Shipped],
    tags: dict[str, str | None],
) -> list[str]:
    found = []
    last = moves[-1] if moves else None
    if last is not None and production is None:
        found.append(
            f"the registry holds no `{PRODUCTION}`, the ledger says {last.version}; put it back: "
            f"mammo rollback {last.version}"
        )
    elif production is not None and move_to(moves, production) is None:
        found.append(
            f"`{PRODUCTION}` is {production}, which the ledger does not know; if a push was "
            "interrupted, clear its push_model, else go back to a known one: mammo rollback VERSION"
        )
    elif last is not None and production != last.digest:
        found.append(
            f"`{PRODUCTION}` was moved past the ledger, whose last move is to {last.version}; "
            "`mammo rollback VERSION` to what shall serve notes it"
        )
    for row in rows:
        if row.in_registry or (row.pruned and tags[row.version] is None):
            continue
        there = tags[row.version]
        found.append(
            f"the registry holds {f'another image ({there})' if there else 'no image'} as "
            f"{row.version}, shipped was {row.digest}"
        )
    return found


def _state(each: Shipped) -> str:
    if each.serves:
        return "SERVES"
    if each.previous:
        return "previous"
    return "image removed" if each.pruned and not each.in_registry else ""
