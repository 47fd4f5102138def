"""Two runs triggered at once, and new data that are announced while a run goes on."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator

import pytest

from ml_tasks.dataset.manifest import ManifestRow, read_rows
from ml_tasks.dataset.phantoms import write_sample
from ml_tasks.dataset.raw_files import READY
from ml_tasks.local_stack.airflow_api import DagRun
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.records import ChangesRecord, Decision, ReleaseRecord, ValidationRecord
from ml_tasks.release.ledger import read_moves
from tests.stack.conftest import Released
from tests.stack.faults import watched_production
from tests.stack.quick_runs import PATIENTS, QuickRuns, assert_of_one_run, quick_runs, until
from tests.stack.running_stack import RUN_SECONDS, RunningStack
from tests.stack.served import wait_until_served

pytestmark = pytest.mark.full

NEW_DATA = "mammography_new_data"
GROWING = "data/growing"  # the raw folder into which the new data come
LATE = "Positive/phantom_001_late.png"  # below it; comes after the announcement


@pytest.fixture
def quick(released: Released) -> Iterator[QuickRuns]:
    with quick_runs(released.stack) as runs:
        yield runs


def test_runs_triggered_at_once_go_one_after_the_other(quick: QuickRuns) -> None:
    """Each is judged against the one before; the third, which is like the second, is unchanged."""
    stack = quick.stack
    with watched_production(stack) as production:
        first, second, same = (
            quick.trigger(epochs=1),
            quick.trigger(epochs=2),
            quick.trigger(epochs=2, force=False),
        )
        ended = [quick.finish(each) for each in (first, second, same)]
    assert [run.state for run in ended] == ["success"] * 3
    assert_in_turn(ended)
    for run_id in (first, second, same):
        assert_of_one_run(stack.paths(run_id))
    shipped = [stack.paths(run_id).load(ReleaseRecord) for run_id in (first, second)]
    assert stack.paths(second).load(Decision).production == shipped[0].digest
    assert shipped[1].production_before == shipped[0].digest
    moves = read_moves(stack.config.paths.releases) or []
    assert [move.digest for move in moves[-2:]] == [each.digest for each in shipped]
    assert production.seen[-2:] == [each.digest for each in shipped]
    changes = stack.paths(same).load(ChangesRecord)
    assert (changes.compared_with, changes.changed) == (second, ())
    assert quick.states(same)["train"] == ("skipped", 0)
    assert wait_until_served(stack) == shipped[1].version


def assert_in_turn(runs: list[DagRun]) -> None:
    """No two went at the same time."""
    for earlier, later in itertools.pairwise(runs):
        assert earlier.end_date is not None and later.start_date is not None
        assert earlier.end_date <= later.start_date


@pytest.fixture
def growing(released: Released) -> Iterator[QuickRuns]:
    with quick_runs(released.stack, GROWING) as runs:
        runs.raw.chmod(0o777)  # the look renames the flag there
        yield runs


def test_data_announced_during_a_run_are_the_next_ones_alone(growing: QuickRuns) -> None:
    """The run that goes on has none of them; the next has what was announced and nothing later."""
    stack, raw = growing.stack, growing.raw
    before = films(growing)
    running = growing.trigger(epochs=3)
    until(lambda: stack.tasks(running)["train"].state == "running", "training")
    add_patients(growing, PATIENTS, 4)
    announced = films(growing)
    (raw / READY).touch()
    seen = run_ids(stack)
    look(growing)
    assert stack.tasks(running)["push_model"].state != "success", "the run had ended by then"
    shutil.copy(raw / "Positive" / "phantom_001_1.png", raw / LATE)
    # Airflow makes it once the one that goes on has ended: as long as that one may take.
    until(lambda: run_ids(stack) - seen, "the next run")
    (following,) = run_ids(stack) - seen
    ended = [growing.finish(running), growing.finish(following)]
    assert [run.state for run in ended] == ["success"] * 2, growing.states(following)
    assert [run.run_type for run in ended] == ["manual", "asset_triggered"]
    assert_in_turn(ended)
    assert used(growing, running) == before
    assert used(growing, following) == announced
    assert stack.paths(following).load(ValidationRecord).snapshot
    for run_id in (running, following):
        assert_of_one_run(stack.paths(run_id))


def run_ids(stack: RunningStack) -> set[str]:
    """The retrainings so far."""
    return {run.dag_run_id for run in stack.api.runs(DAG_ID)}


def films(growing: QuickRuns) -> set[str]:
    """What lies in the raw folder."""
    return {path.relative_to(growing.raw).as_posix() for path in growing.raw.glob("*/*.png")}


def used(growing: QuickRuns, run_id: str) -> set[str]:
    """The files that a run has listed."""
    manifest = growing.stack.paths(run_id).stage(ValidationRecord.stage) / "manifest.csv"
    return {row.path for row in read_rows(manifest, ManifestRow)}


def add_patients(growing: QuickRuns, first: int, count: int) -> None:
    """More phantoms into the raw folder, with the table that tells whose they are."""
    raw = growing.raw
    more = growing.stack.project / "more"
    write_sample(more, patients=first + count)
    for film in more.glob("*/*.png"):
        if not (raw / film.relative_to(more)).exists():
            shutil.copy(film, raw / film.relative_to(more))
    shutil.copy(more / "metadata.csv", raw / "metadata.csv")
    shutil.rmtree(more)


def look(growing: QuickRuns) -> None:
    """Lets the DAG that looks for new data take the flag."""
    api = growing.stack.api
    api.wait_for_dag(NEW_DATA, RUN_SECONDS)
    api.trigger(NEW_DATA, {})
    api.pause(NEW_DATA, False)
    until(lambda: not (growing.raw / READY).exists(), "the flag to be taken")
    api.pause(NEW_DATA)
