"""Which releases can serve again: shipped once, image whole in the registry, bundle as sealed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.errors import ReleaseError
from ml_tasks.records import Record
from ml_tasks.release.bundle import bundle_of, read_json, verify
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.ledger import Move, predecessor, read_moves
from ml_tasks.release.registry_api import Registry


class Returnable(Record):
    """A release that was in production, as somebody sees it who must choose one."""

    version: str
    digest: str  # under which it was shipped last
    shipped_at: str
    verdict: str = ""
    auc: float | None = None  # of the test patients
    serves: bool = False
    settled: bool = False  # and the ledger says so, too: there is nothing to return from
    previous: bool = False  # stood before what serves
    obstacle: str = ""  # why it cannot serve again; empty: it can

    @property
    def can_be_chosen(self) -> bool:
        """Whether going back to it is possible, and changes anything."""
        return not self.obstacle and not self.settled

    @property
    def state(self) -> str:
        """In words."""
        if self.serves:
            return "**serves**"
        if self.obstacle:
            return f"cannot serve again: {self.obstacle}"
        return "stood before what serves" if self.previous else ""


def returnable_releases(config: Config) -> list[Returnable]:
    """Every release of the ledger, the newest first; what cannot serve again says why.

    Raises:
        ChampionError: the ledger is damaged.
        RegistryUnavailable, RegistryRefused: the registry does not tell.
    """
    releases = config.paths.releases
    moves = read_moves(releases) or []
    with Registry(config.release) as registry:
        serving = registry.digest(PRODUCTION)
        before = predecessor(moves, serving)
        last = moves[-1].digest if moves else None
        return [
            _described(releases, moves, version).model_copy(
                update={
                    "serves": serving == digest,
                    "previous": before is not None and before.version == version,
                    "settled": serving == digest == last,
                    "obstacle": _obstacle(registry, releases, version, digest),
                }
            )
            for version, digest in _shipped(moves).items()
        ]


def choose_release(config: Config, version: str) -> Returnable:
    """The release of this version, if it can serve again.

    Raises:
        ReleaseError: it cannot, or was never in production; names those that can.
    """
    known = returnable_releases(config)
    found = next((each for each in known if each.version == version), None)
    if found is not None and not found.obstacle:
        return found
    reason = "was never in production" if found is None else f"cannot serve again: {found.obstacle}"
    can = [each.version for each in known if each.can_be_chosen]
    told = f"choose one of {', '.join(can)}" if can else "no other release can serve again either"
    raise ReleaseError(f"{version} {reason}; {told}")


def as_table(releases: Sequence[Returnable]) -> str:
    """A table for people, in Markdown."""
    lines = ["| version | shipped (UTC) | verdict | AUC | |", "|---|---|---|---|---|"]
    for each in releases:
        auc = "" if each.auc is None else f"{each.auc:.3f}"
        cells = (f"`{each.version}`", each.shipped_at[:19], each.verdict, auc, each.state)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shipped(moves: Sequence[Move]) -> dict[str, str]:
    """The digest of each version's latest move, the newest version first."""
    latest = {move.version: move.digest for move in moves}
    return dict(sorted(latest.items(), reverse=True))


def _described(releases: Path, moves: Sequence[Move], version: str) -> Returnable:
    own = [move for move in moves if move.version == version]
    verdict, auc = judged_in(bundle_of(releases, version))
    return Returnable(
        version=version,
        digest=own[-1].digest,
        shipped_at=own[0].moved_at,
        verdict=verdict,
        auc=auc,
    )


def judged_in(bundle: Path) -> tuple[str, float | None]:
    """The verdict and the patients' AUC, from a sealed bundle as far as it is there."""
    verdict = ""
    try:
        verdict = str(read_json(bundle, "decision.json").get("verdict", ""))
        level = read_json(bundle, "metrics.json")["levels"]["test"]["patient"]
        return verdict, level["figures"]["auc"]["value"]
    except (ReleaseError, KeyError, TypeError):  # gone, or of an older form
        return verdict, None


def _obstacle(registry: Registry, releases: Path, version: str, digest: str) -> str:
    manifest = registry.manifest(digest)
    if manifest is None:
        return f"the registry does not hold its image {digest[:19]} any more"
    gone = registry.lacks(manifest)
    if gone:
        return f"the registry has lost {gone[0][:19]} of its image"
    bundle = bundle_of(releases, version)
    if not bundle.is_dir():
        return f"{bundle} is not there; put it back from a copy first"
    try:
        verify(bundle)
    except ReleaseError as error:
        return str(error)
    return ""
