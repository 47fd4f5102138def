"""What a batch begins with: a folder that can be scored, and the release that scores it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.errors import DataError, MammoError, ScoringError
from ml_tasks.inference.release_files import classes_of, threshold_of
from ml_tasks.release.bundle import bundle_of, read_json
from ml_tasks.release.champion import Champion, find_champion
from ml_tasks.scoring.listing import LINKED, Listing
from ml_tasks.scoring.place import BatchPlace
from ml_tasks.scoring.plan import BatchPlan
from ml_tasks.scoring.summary import ProductionNow

log = logging.getLogger(__name__)


def checked_folder(folder: Path, scoring: Path) -> Path:
    """The folder without links, if it can be scored.

    Raises:
        DataError: it does not exist, its name is no UTF-8, or it holds or is in `scoring`.
    """
    if not folder.is_absolute():
        raise DataError(f"the folder {str(folder)!r} is no absolute path; begin it with /")
    found, out = folder.resolve(), scoring.resolve()
    if str(found) != str(found).encode("utf-8", "replace").decode():
        raise DataError(f"the name of the folder {str(found)!r} is no UTF-8; rename it")
    if not found.is_dir():
        raise DataError(f"there is no folder {folder}; name the folder that holds the images")
    if found.is_relative_to(out) or out.is_relative_to(found):
        raise DataError(
            f"{folder} and paths.scoring ({scoring}) lie within each other, so that results would "
            "be scored; move the images, or set paths.scoring to another folder"
        )
    return found


def in_production(config: Config) -> Champion:
    """The release in production, as ledger and registry say, its bundle verified.

    Raises:
        ScoringError: there is none.
        ChampionError: it cannot be told.
        RegistryUnavailable: the registry does not answer.
    """
    champion = find_champion(config, ask_registry=True)
    if champion.version is None:
        raise ScoringError(
            f"nothing is in production ({champion.proof}), so there is no model that could score; "
            "run the retraining until a release is pushed, then score again"
        )
    log.info(champion.proof)
    return champion


def production_now(config: Config, plan: BatchPlan) -> ProductionNow:
    """Whether a batch's release is in production still; what cannot be told is said."""
    try:
        champion = find_champion(config, ask_registry=True)
    except MammoError as error:
        text = f"whether {plan.version} is in production still could not be told: {error}"
        return ProductionNow(same=None, text=text)
    if champion.digest == plan.digest:
        return ProductionNow(same=True, text=f"{plan.version} is in production still")
    return ProductionNow(
        same=False,
        text=f"{champion.version or 'nothing'} is in production by now; this whole batch was "
        f"scored by {plan.version}, which was when it was planned",
    )


def make_plan(
    place: BatchPlace, folder: Path, config: Config, release: Champion, listing: Listing
) -> BatchPlan:
    """The plan of a listed folder.

    Raises:
        DataError: there is nothing to score.
        ReleaseError: the bundle contradicts what scoring needs.
    """
    left_out = listing.left_out
    if not listing.images:
        left = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.counts.items()))
        raise DataError(
            f"{folder} holds no image{f' (left out: {left})' if left else ''}; name the folder "
            "that holds the images"
        )
    version = str(release.version)
    bundle = bundle_of(config.paths.releases, version)
    positive, negative = classes_of(bundle)
    return BatchPlan(
        name=place.name,
        folder=str(folder),
        planned_at=now(),
        version=version,
        digest=str(release.digest),
        proof=release.proof,
        positive=positive,
        negative=negative,
        threshold=threshold_of(bundle, read_json(bundle, "metrics.json")),
        images=listing.images,
        size=listing.size,
        chunk=config.scoring.chunk,
        chunks=listing.chunks,
        shards=min(config.scoring.shards, listing.chunks),
        format=config.scoring.format,
        listing_sha256=listing.sha256,
        left_out=left_out.counts,
        left_out_names={kind: tuple(names) for kind, names in left_out.names.items()},
    )


def warn_left_out(plan: BatchPlan) -> None:
    """A line for each kind of file that gets no row."""
    for kind, count in sorted(plan.left_out.items()):
        names = ", ".join(plan.left_out_names[kind][:3])
        say = log.warning if kind == LINKED else log.info
        say("left out: %d %s, e.g. %s", count, kind, names)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
