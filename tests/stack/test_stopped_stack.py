"""The whole stack is told to end in the middle of a run, and started again: the run completes."""

from __future__ import annotations

import time

import pytest

from ml_tasks.records import TrainRecord
from tests.stack.fault_run import begin_fault_run
from tests.stack.faults import DEAD_WORKER, RETRY, Fault, record, wait_for_try
from tests.stack.quick_runs import until
from tests.stack.running_stack import RunningStack

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("soon_noticed")]


def test_a_stack_that_is_stopped_while_it_trains_goes_on_when_it_is_started(
    running_stack: RunningStack,
) -> None:
    run = begin_fault_run(running_stack, seed=105, epochs=12, push=False)
    run.wait_until("an epoch is complete", lambda: run.epochs() > 0)
    running_stack.compose.output("stop")
    assert running_stack.compose.containers() == []
    assert not run.paths.stage("train").exists(), "training was over before the stack stopped"
    at = time.monotonic()
    running_stack.compose.output("start")
    wait_for_api(running_stack)
    wait_for_try(running_stack, run.run_id, "train", 2)
    seconds = time.monotonic() - at
    happened = "after the start, training went on after its last complete epoch"
    record(Fault("train", "SIGTERM of the whole stack, and a start", happened, seconds, WAITS))
    run.finish()
    assert run.paths.load(TrainRecord).resumed_from


WAITS = (DEAD_WORKER, RETRY)


def wait_for_api(stack: RunningStack) -> None:
    """Returns once the api-server answers again."""
    answers = "the api-server to answer"
    until(lambda: "api-server" not in stack.api.unhealthy(), answers)
