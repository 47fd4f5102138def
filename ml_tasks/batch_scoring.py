"""Stage batch_scoring: plan a folder, score it shard by shard, put its tables and page together.

What is in production is looked up once, as the batch is planned; the batch stays with it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.errors import DataError, ScoringError
from ml_tasks.inference.scorer import processors
from ml_tasks.pages.scoring_summary import scoring_page
from ml_tasks.progress import counted
from ml_tasks.scoring.listing import listing_of, listing_sha256, read_chunk, write_listing
from ml_tasks.scoring.place import BatchPlace
from ml_tasks.scoring.plan import BatchPlan, read_plan
from ml_tasks.scoring.planning import (
    checked_folder,
    in_production,
    make_plan,
    now,
    production_now,
    warn_left_out,
)
from ml_tasks.scoring.rows import ScoredRow, read_chunk_rows, write_chunk
from ml_tasks.scoring.score_chunk import Scoring
from ml_tasks.scoring.summary import BatchSummary, Tally, read_summary
from ml_tasks.scoring.tables import files_of, open_tables
from ml_tasks.storage import (
    fsync_tree,
    replaced_directory,
    storage_errors,
    write_bytes,
    write_json,
)

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
            _assemble(place, plan, mark, config)
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


def _assemble(place: BatchPlace, plan: BatchPlan, mark: str, config: Config) -> None:
    _check_complete(place, plan)
    work, tally = place.work / "finished", Tally()
    shutil.rmtree(work, ignore_errors=True)  # of a try that was killed
    with storage_errors(place.finished):
        work.mkdir()
        with open_tables(work, plan) as tables:
            for rows in _all_rows(place, plan, mark):
                tally.add(rows)
                for table in tables:
                    table.add(rows)
        summary = _summary(plan, mark, tally, production_now(config, plan))
        write_json(work / place.summary.name, summary.model_dump(mode="json"))
        write_bytes(work / "summary.html", scoring_page(summary).encode())
        fsync_tree(work)
        work.rename(place.finished)


def _check_complete(place: BatchPlace, plan: BatchPlan) -> None:
    if listing_sha256(place.work) != plan.listing_sha256:
        raise ScoringError(
            f"the listing in {place.work} was altered after it was planned; remove that folder and "
            "start the batch anew"
        )
    missing = [chunk for chunk in range(plan.chunks) if not place.rows(chunk).exists()]
    if missing:
        shards = sorted({chunk % plan.shards for chunk in missing})
        raise ScoringError(
            f"{len(missing)} of {plan.chunks} chunks of the batch {place.name} are not scored yet; "
            f"run score again for the shard(s) {', '.join(map(str, shards))}"
        )


def _all_rows(place: BatchPlace, plan: BatchPlan, mark: str) -> Iterator[list[ScoredRow]]:
    """The rows of every chunk in order, each held to the files that were planned."""
    count = 0
    for chunk in range(plan.chunks):
        planned = read_chunk(place.work, chunk)
        rows = read_chunk_rows(place.rows(chunk), mark, chunk, planned)
        count += len(rows)
        yield rows
    if count != plan.images:
        raise ScoringError(
            f"{count:,} rows for {plan.images:,} planned images of the batch {place.name}; remove "
            f"{place.work} and start the batch anew"
        )


def _summary(plan: BatchPlan, mark: str, tally: Tally, production: str) -> BatchSummary:
    finished = now()
    lasted = datetime.fromisoformat(finished) - datetime.fromisoformat(plan.planned_at)
    return BatchSummary(
        plan=plan,
        plan_sha256=mark,
        finished_at=finished,
        seconds=lasted.total_seconds(),
        scored=tally.scored,
        classes={name: tally.classes[name] for name in (plan.positive, plan.negative)},
        errors=dict(sorted(tally.errors.items())),
        quality=dict(sorted(tally.quality.items())),
        warned=tally.warned,
        histogram=tuple(tally.histogram),
        first_errors=tuple(tally.first_errors),
        production_now=production,
        files=files_of(plan),
    )


def _told(place: BatchPlace, summary: BatchSummary) -> BatchSummary:
    for code, count in summary.errors.items():
        log.warning("%d images could not be scored: %s", count, code)
    if not summary.production_now.endswith("still"):
        log.warning(summary.production_now)
    log.info("results: %s", place.finished / "summary.html")
    if not summary.scored:
        raise DataError(
            f"not one of {summary.plan.images:,} images could be scored "
            f"({', '.join(summary.errors)}); {place.finished / 'summary.html'} says why; was it "
            "the right folder?"
        )
    log.info(summary.line())
    return summary
