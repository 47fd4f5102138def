"""kill -9 of the workers that clean and train: the run completes, nothing is lost or doubled."""

from __future__ import annotations

import json
import shutil

import pytest

from ml_tasks.records import EvaluationRecord, PlanRecord, TrainRecord
from tests.stack.conftest import Released
from tests.stack.fault_run import CLEAN, FaultRun, begin_fault_run
from tests.stack.faults import watched_production
from tests.stack.running_stack import RunningStack
from tests.stack.test_builder_faults import kill_builder_in_build, shipped
from tests.stack.undisturbed import cleaned_hashes, undisturbed

pytestmark = pytest.mark.usefixtures("soon_noticed")


def kill_cleaning_worker(run: FaultRun) -> None:
    """SIGKILL in the middle of a shard; its films are cleaned in another try."""
    run.wait_until("the shards are planned", lambda: run.paths.has(PlanRecord))
    # What validation has kept of the films, cleaning would take over, and be done at once.
    for kept in run.stack.config.paths.cache.iterdir():
        shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
    run.wait_until("a worker cleans a shard", lambda: run.begun_shard() is not None)
    shard = run.begun_shard()
    assert shard is not None
    task = run.task(CLEAN, shard)
    at = run.kill_worker_of(task, "worker")
    lost = [each for each in run.unfinished_shards() if each.hostname == task.hostname]
    assert lost, "every shard of the worker was complete before it was killed"
    happened = "its shards were cleaned again, by whichever worker was free"
    run.goes_on(at, lost[0], "kill -9 of the default worker", happened)


def kill_training_worker(run: FaultRun) -> int:
    """SIGKILL after the first complete epoch, in a later one; how many were complete."""
    run.wait_until("an epoch is complete", lambda: run.epochs() > 0)
    task = run.task("train")
    at = run.kill_worker_of(task, "cpu-worker")
    complete = run.epochs()
    assert not run.paths.stage("train").exists(), "training was over before it was killed"
    happened = "training went on after its last complete epoch"
    run.goes_on(at, task, "kill -9 of the GPU worker in the middle of an epoch", happened)
    assert run.stack.wait_for_log(run.run_id, "train", rf"resumed from epoch {complete}\b")
    return complete


def check_trained(run: FaultRun, complete: int, epochs: int) -> None:
    """Every epoch once, and a model that evaluates."""
    record = run.paths.load(TrainRecord)
    assert record.resumed_from == (complete,)
    history = json.loads((run.paths.stage("train") / "history.json").read_text())
    assert [line["epoch"] for line in history] == list(range(1, epochs + 1))
    assert run.paths.has(EvaluationRecord)
    assert not run.paths.checkpoint.exists()


@pytest.mark.full  # a quarter of an hour beside the other tests of `make test`
def test_one_run_outlives_the_death_of_each_kind_of_worker(released: Released) -> None:
    """The default worker in a shard, the GPU worker in an epoch, the builder in its build."""
    stack = released.stack
    with watched_production(stack) as watch:
        run = begin_fault_run(stack, seed=101, patients=120)
        kill_cleaning_worker(run)
        complete = kill_training_worker(run)
        kill_builder_in_build(run)
        run.finish()
        shipped(run, watch)
    check_trained(run, complete, epochs=3)
    copy = undisturbed(run, "preprocess", "worker")
    assert cleaned_hashes(run.paths) == cleaned_hashes(copy)
    assert watch.seen[0] is not None, "no older release was there to be kept meanwhile"


@pytest.mark.full
def test_the_default_worker_alone(running_stack: RunningStack) -> None:
    run = begin_fault_run(running_stack, seed=102, epochs=1, patients=240, push=False)
    kill_cleaning_worker(run)
    running_stack.wait_for_task(run.run_id, "preprocess.assemble", "success")
    copy = undisturbed(run, "preprocess", "worker")
    assert cleaned_hashes(run.paths) == cleaned_hashes(copy)
    run.finish()


@pytest.mark.full
def test_the_gpu_worker_alone_gives_the_weights_of_an_undisturbed_training(
    running_stack: RunningStack,
) -> None:
    """On a CPU training is deterministic: the file is the same, bit for bit."""
    run = begin_fault_run(running_stack, seed=103, epochs=4, push=False)
    complete = kill_training_worker(run)
    run.finish()
    check_trained(run, complete, epochs=4)
    copy = undisturbed(run, "train", "cpu-worker")
    assert run.paths.load(TrainRecord).model_sha256 == copy.load(TrainRecord).model_sha256
