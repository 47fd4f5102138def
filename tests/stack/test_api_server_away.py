"""The api-server is gone for two minutes while a task trains: the same try goes on and counts."""

from __future__ import annotations

import time

import pytest

from ml_tasks.records import TrainRecord
from tests.stack.fault_run import FaultRun, begin_fault_run
from tests.stack.faults import Fault, record
from tests.stack.running_stack import RunningStack
from tests.stack.test_stopped_stack import wait_for_api

pytestmark = pytest.mark.full

AWAY = 120.0  # seconds
NEXT_TRY = 40.0  # within which a scheduler that takes a task for dead says so, and begins anew


def test_training_goes_on_in_the_same_try(running_stack: RunningStack) -> None:
    run = begin_fault_run(running_stack, seed=106, epochs=60, push=False)
    before, during = _away(run)
    assert during > before, "no epoch was completed while the api-server was away"
    assert not run.paths.has(TrainRecord), "training was over before the api-server came back"
    _goes_on(run, "training went on in the same try")


def test_a_training_that_ends_meanwhile_counts_when_the_api_server_is_back(
    running_stack: RunningStack,
) -> None:
    run = begin_fault_run(running_stack, seed=107, epochs=2, push=False)
    _away(run)
    assert run.paths.has(TrainRecord), "training was not over before the api-server came back"
    _goes_on(run, "what ended meanwhile counted, once it was back")
    run.finish()
    assert run.task("train").try_number == 1
    assert run.paths.load(TrainRecord).resumed_from == ()


def _away(run: FaultRun) -> tuple[int, int]:
    """Stops the api-server for AWAY once an epoch is complete; how many were before, and after."""
    run.wait_until("an epoch is complete", lambda: run.epochs() > 0)
    before = run.epochs()
    run.stack.compose.output("stop", "api-server")
    end = time.monotonic() + AWAY
    run.wait_until("two minutes are over", lambda: time.monotonic() > end)
    during = run.epochs()
    run.stack.compose.output("start", "api-server")
    return before, during


def _goes_on(run: FaultRun, happened: str) -> None:
    """The stack is back, and for as long as another try would take to begin, none does."""
    at = time.monotonic()
    wait_for_api(run.stack)
    seconds = time.monotonic() - at
    deadline = time.monotonic() + NEXT_TRY
    while (task := run.task("train")).state == "running" and time.monotonic() < deadline:
        assert task.try_number == 1
        time.sleep(1)
    assert task.state in ("running", "success") and task.try_number == 1, task
    record(Fault("train", "api-server gone for two minutes", happened, seconds))
