"""Stage batch_scoring: plan a folder, score it shard by shard, put its tables and page together.

What is in production is looked up once, as the batch is planned; the batch stays with it.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.errors import DataError, ScoringError
from ml_tasks.inference.scorer import processors
from ml_tasks.progress import counted
from ml_tasks.scoring.assembly import assemble
from ml_tasks.scoring.listing import listing_of, read_chunk, write_listing
from ml_tasks.scoring.place import BatchPlace
from ml_tasks.scoring.plan import BatchPlan, read_plan
from ml_tasks.scoring.planning import (
    checked_folder,
    in_production,
    make_plan,
    production_now,
    warn_left_out,
)
from ml_tasks.scoring.rows import write_chunk
from ml_tasks.scoring.score_chunk import Scoring
from ml_tasks.scoring.summary import BatchSummary, read_summary
from ml_tasks.storage import replaced_directory, write_json

log = logging.getLogger(__name__)

_LOG_SECONDS = 30.0  # between two lines of progress; a batch takes minutes to hours


def score_folder(config: Config, folder: Path, name: str) -> BatchSummary:
    """All three steps on this machine, with all of its processors; goes on where it was stopped.

    Raises:
        MammoError: see the steps.
    """
    plan = plan_batch(config, folder, name)
    for shard in range(plan.shards):
        score_shard(config, name, shard, config.scoring.threads or processors())
    return assemble_batch(config, name)


def plan_batch(config: Config, folder: Path, name: str) -> BatchPlan:
    """Lists a folder and fixes the release that scores it; a batch that was planned keeps its plan.

    Raises:
        DataError: no such folder, nothing in it to score, or a part of it cannot be read.
        ScoringError: nothing is in production, or the name is of a batch of other files.
        ChampionError: what is in production cannot be told.
        RegistryUnavailable: the registry does not answer.
        StorageError: no space left.
    """
    place = BatchPlace(config.paths.scoring, name)
    folder = checked_folder(folder, config.paths.scoring)
    if place.finished.exists():
        return _finished_before(place, folder, config)
    if place.plan.exists():
        return _begun_before(place, folder)
    release = in_production(config)
    with replaced_directory(place.work, owned=lambda _: False) as work:
        listing = write_listing(folder, work, config.scoring.chunk)
        plan = make_plan(place, folder, config, release, listing)
        write_json(work / place.plan.name, plan.model_dump(mode="json"))
    warn_left_out(plan)
    log.info(plan.summary())
    return plan


def score_shard(config: Config, name: str, shard: int, threads: int | None = None) -> int:
    """Scores those images of a shard that have no row yet; gives how many they were.

    One chunk after the other is committed: who is killed loses the images of one chunk, and the
    next try goes on with it. `threads` images are worked on at once; by default the shards share
    the processors of one machine.

    Raises:
        ScoringError: there is no such batch or shard.
        RunBusy: another process works on this shard.
        ReleaseError: the release is gone, was altered, or gives no number.
        ImagesUnreachable: the folder is gone.
        StorageError: no space left; the chunks that were committed stand.
    """
    place = BatchPlace(config.paths.scoring, name)
    if place.finished.exists():
        log.info("nothing to do: %s", read_summary(place).line())
        return 0
    plan, mark = read_plan(place)
    if shard not in range(plan.shards):
        raise ScoringError(
            f"there is no shard {shard}; the batch {name} has {plan.shards}, from 0 on"
        )
    threads = threads or config.scoring.threads or max(1, processors() // plan.shards)
    done = 0
    with place.owned(f"shard-{shard}"):
        chunks = range(shard, plan.chunks, plan.shards)
        todo = [chunk for chunk in chunks if not place.rows(chunk).exists()]
        if todo:
            with Scoring.opened(plan, config.paths.releases, threads) as scoring:
                for chunk in counted(todo, len(todo), "scored chunk", log, _LOG_SECONDS):
                    rows = scoring.rows(read_chunk(place.work, chunk))
                    write_chunk(place.rows(chunk), mark, chunk, rows)
                    done += len(rows)
    log.info(
        "shard %d of %d of batch %s: %d images scored now; every image of it has its row",
        *(shard + 1, plan.shards, name, done),
    )
    return done


def assemble_batch(config: Config, name: str) -> BatchSummary:
    """Puts the rows together into predictions.csv, predictions.parquet, summary.json and
    summary.html; their folder appears complete, or not at all.

    Raises:
        ScoringError: there is no such batch, or a planned image has no row.
        RunBusy: another process does so already.
        DataError: not one image could be scored; the folder stands, and says why.
        StorageError: no space left; the rows stand.
    """
    place = BatchPlace(config.paths.scoring, name)
    if not place.finished.exists():
        plan, mark = read_plan(place)
        with place.owned("assemble"):
            assemble(place, plan, mark, production_now(config, plan))
    summary = read_summary(place)
    shutil.rmtree(place.work, ignore_errors=True)
    return _told(place, summary)


def _begun_before(place: BatchPlace, folder: Path) -> BatchPlan:
    plan, _ = read_plan(place)
    if Path(plan.folder) != folder:
        raise ScoringError(
            f"the batch {place.name} has begun with another folder, {plan.folder}; give this one "
            f"another name, or remove {place.work} to give that one up"
        )
    log.info(
        "goes on as it was planned at %s; files that came since then are not in it", plan.planned_at
    )
    log.info(plan.summary())
    return plan


def _finished_before(place: BatchPlace, folder: Path, config: Config) -> BatchPlan:
    """The plan of a finished batch, if it would be the same today."""
    summary = read_summary(place)
    release, plan = in_production(config), summary.plan
    today = make_plan(place, folder, config, release, listing_of(folder, plan.chunk))
    if not plan.same_work(today):
        raise ScoringError(
            f"the batch {place.name} is finished, and was of other files or of another release "
            f"({plan.version}, {plan.images:,} images of {plan.folder}); give this one another "
            f"name, or move {place.finished} away"
        )
    log.info("nothing to do: %s", summary.line())
    return plan


def _told(place: BatchPlace, summary: BatchSummary) -> BatchSummary:
    for code, count in summary.errors.items():
        log.warning("%d images could not be scored: %s", count, code)
    if not summary.production.same:
        log.warning(summary.production.text)
    log.info("results: %s", place.finished / "summary.html")
    if not summary.scored:
        raise DataError(
            f"not one of {summary.plan.images:,} images could be scored "
            f"({', '.join(summary.errors)}); {place.finished / 'summary.html'} says why; was it "
            "the right folder?"
        )
    log.info(summary.line())
    return summary
