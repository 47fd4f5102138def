"""The rows of all chunks put together: tables, summary and page, in a folder that is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime

from ml_tasks.errors import ScoringError
from ml_tasks.pages.scoring_summary import scoring_page
from ml_tasks.scoring.listing import listing_sha256, read_chunk
from ml_tasks.scoring.place import BatchPlace
from ml_tasks.scoring.plan import BatchPlan
from ml_tasks.scoring.planning import now
from ml_tasks.scoring.rows import ScoredRow, read_chunk_rows
from ml_tasks.scoring.summary import BatchSummary, ProductionNow, Tally
from ml_tasks.scoring.tables import files_of, open_tables
from ml_tasks.storage import fsync_tree, storage_errors, write_bytes, write_json


def assemble(place: BatchPlace, plan: BatchPlan, mark: str, production: ProductionNow) -> None:
    """Writes the tables, the summary and the page; their folder appears complete, or not at all.

    `mark` is the hash of the plan's file; `production` says whether its release still serves.

    Raises:
        ScoringError: a planned image has no row, or what was left of the batch was altered.
        StorageError: no space left; the rows stand.
    """
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
        summary = _summary(plan, mark, tally, production)
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


def _summary(plan: BatchPlan, mark: str, tally: Tally, production: ProductionNow) -> BatchSummary:
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
        production=production,
        files=files_of(plan),
    )
