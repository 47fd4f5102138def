"""The shared volume runs full in the middle of a run, at one stage after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.release.audit import read_audit
from ml_tasks.run_paths import RECORD
from tests.conftest import unavailable
from tests.stack.conftest import Released
from tests.stack.faults import Fault, record, watched_production
from tests.stack.quick_runs import QuickRuns, assert_of_one_run, quick_runs, until
from tests.stack.small_disk import filled

pytestmark = pytest.mark.full

# Each stage whose disk is full as it begins, and the task after whose end that is.
STAGES = {
    "validate_data": "",
    "preprocess.clean": "preprocess.plan",
    "train": "preprocess.assemble",
    "evaluate": "train",
    "build_image": "approve",
    "push_model": "smoke_test",
}


@pytest.fixture
def quick(released: Released) -> Iterator[QuickRuns]:
    if not released.stack.shared.is_mount():
        unavailable("needs to be root, to mount a small disk that may be filled")
    with quick_runs(released.stack) as runs:
        yield runs


def test_a_full_disk_fails_clearly_and_the_run_goes_on_once_there_is_room(
    quick: QuickRuns,
) -> None:
    """At each stage: the words, nothing half-written, and after a clear as if nothing had been."""
    run_id = ""
    with watched_production(quick.stack):
        for stage, before in STAGES.items():
            if before:
                wait_until_done(quick, run_id, before)
            run_id, seconds = fails_on_a_full_disk(quick, run_id, stage)
            cleared = time.monotonic()
            quick.clear_failed(run_id)
            done = wait_until_done(quick, run_id, stage)
            told = f"failed in {seconds:.0f} s with 'no space left'; done once there was room again"
            record(Fault(stage, "shared volume full", told, done - cleared))
        assert quick.finish(run_id).state == "success", quick.states(run_id)
    assert_of_one_run(quick.stack.paths(run_id))


def fails_on_a_full_disk(quick: QuickRuns, run_id: str, stage: str) -> tuple[str, float]:
    """Lets the stage, of a new run without an id, meet a full disk; the run and its seconds."""
    releases = quick.stack.config.paths.releases
    audit, begin = read_audit(releases), time.monotonic()
    with filled(quick.stack.shared):
        run_id = run_id or quick.trigger(shards=2)
        assert quick.finish(run_id).state == "failed", quick.states(run_id)
        seconds = time.monotonic() - begin
        assert_told(quick, run_id, stage)
        assert_nothing_half_written(quick, run_id, stage)
        assert read_audit(releases)[: len(audit)] == audit
    return run_id, seconds


def wait_until_done(quick: QuickRuns, run_id: str, name: str) -> float:
    """The moment at which a task, all its shards, has ended well."""

    def done() -> bool:
        tasks = [each for each in quick.stack.api.tasks(DAG_ID, run_id) if each.task_id == name]
        return {each.state for each in tasks} == {"success"}

    return until(done, f"{name} to end well")


def assert_told(quick: QuickRuns, run_id: str, stage: str) -> None:
    """The page shows the log, which says what is wrong and what to do."""
    failed = [t for t in quick.stack.api.tasks(DAG_ID, run_id) if t.state == "failed"]
    assert {task.task_id for task in failed} == {stage}
    for task in failed:
        words = " ".join(line.event for line in quick.stack.log(run_id, task) if line.own)
        assert "no space left" in words and "Free some space" in words, words


def assert_nothing_half_written(quick: QuickRuns, run_id: str, stage: str) -> None:
    """What the stage leaves exists only once it is complete: its record is the last of it."""
    paths = quick.stack.paths(run_id)
    shards = paths.stage("clean_shard").glob("[0-9]*")
    for folder in shards if stage == "preprocess.clean" else [paths.stage(stage)]:
        assert not folder.exists() or (folder / RECORD).stat().st_size > 0
