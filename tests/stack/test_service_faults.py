"""Airflow's services, the broker, the database and the registry go away in the middle of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from ml_tasks.deployment.compose import docker
from ml_tasks.local_stack.airflow_api import TaskInstance
from ml_tasks.local_stack.demo import DAG_ID
from tests.counts import cases
from tests.stack.conftest import Released
from tests.stack.faults import QUEUED_AGAIN, Fault, record, watched_production
from tests.stack.quick_runs import QuickRuns, assert_of_one_run, quick_runs, settings_of, until
from tests.stack.running_stack import (
    QUEUE_TIMEOUT,
    TEAM_QUEUE_TIMEOUT,
    kill,
    queue_again_after,
)

CLEAN = "preprocess.clean"
SHARDS = 8  # more than the workers take at once
RUNNING = ("running", "success")
_CLI = 'REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli'


@pytest.fixture(scope="module")
def quick(released: Released) -> Iterator[QuickRuns]:
    """A busy machine may start the registry again only after a push's own few tries; and what Redis
    loses is not waited for as long as a team does.
    """
    patient = settings_of(released.stack, {"release.push_attempts": 10})
    queue_again_after(released.stack, QUEUE_TIMEOUT)
    with patient, quick_runs(released.stack) as runs:
        yield runs
    queue_again_after(released.stack, TEAM_QUEUE_TIMEOUT)


@dataclass
class FaultyRun:
    """One run, and the services that are restarted, or killed, in its stages."""

    quick: QuickRuns
    run_id: str
    kills: bool
    made: list[str] = field(default_factory=list)

    def hit(self, service: str) -> float:
        """Makes the fault; gives its moment."""
        compose = self.quick.stack.compose
        begin = time.monotonic()
        if self.kills:
            (container,) = compose.containers(service)
            kill(container)  # the engine starts it again
        else:
            compose.output("restart", service)
        return begin

    def task(self, name: str) -> TaskInstance:
        return self.quick.stack.tasks(self.run_id)[name]

    def reaches(self, name: str) -> None:
        """Returns once a task runs."""
        until(lambda: self.task(name).state in RUNNING, f"{name} to run")

    def shards(self, *states: str) -> int:
        tasks = self.quick.stack.api.tasks(DAG_ID, self.run_id)
        return sum(task.task_id == CLEAN and task.state in states for task in tasks)

    def epochs(self) -> int:
        lines = self.quick.stack.log(self.run_id, self.task("train"))
        return sum(line.event.startswith("epoch ") for line in lines)

    def make(
        self, stage: str, service: str, goes_on: Callable[[], object], how: str, moment: float
    ) -> None:
        """Waits until the stage goes on, and records how long that took since `moment`."""
        seconds = until(goes_on, f"{stage} to go on") - moment
        word = "SIGKILL" if self.kills else "restart"
        record(Fault(stage, f"{word} of {service}", how, seconds))


def scheduler_goes(run: FaultyRun) -> None:
    run.reaches("validate_data")
    moment = run.hit("scheduler")
    run.make(
        "validate_data",
        "the scheduler",
        lambda: run.task("check_changes").state in RUNNING,
        "the task goes on; the next one starts when the scheduler is back",
        moment,
    )


def redis_goes(run: FaultyRun) -> None:
    """While shards wait in the broker: the workers stand still, so that none is taken meanwhile."""
    until(lambda: run.task("preprocess.plan").state == "success", "the plan of the shards")
    with frozen(run.quick.stack.compose.containers("worker")):
        until(lambda: held(run), "shards to wait in the broker")
        waiting = held(run)
        moment = run.hit("redis")
    run.make(
        "preprocess",
        "Redis",
        lambda: run.shards("success") == SHARDS,
        f"it still holds what was queued ({waiting} shards); the workers connect again",
        moment,
    )


@contextmanager
def frozen(containers: list[str]) -> Iterator[None]:
    """Within the block, nothing in these containers goes on; their connections stay open."""
    docker("pause", *containers)
    try:
        yield
    finally:
        docker("unpause", *containers)


def held(run: FaultyRun) -> int:
    """Tasks that wait in the broker for a default worker."""
    return int(run.quick.stack.compose.exec("redis", ["sh", "-c", f"{_CLI} llen default"]))


def postgres_goes(run: FaultyRun) -> None:
    until(lambda: run.epochs() >= 1, "the first epoch")
    moment = run.hit("postgres")
    seen: list[int] = []

    def goes_on() -> bool:
        seen.append(run.epochs())
        return seen[-1] > seen[0] or run.task("train").state == "success"

    run.make("train", "Postgres", goes_on, "the same try goes on, epoch by epoch", moment)


def api_server_goes(run: FaultyRun) -> None:
    run.reaches("evaluate")
    moment = run.hit("api-server")
    run.make(
        "evaluate",
        "the api-server",
        lambda: run.task("evaluate").state == "success",
        "the same try goes on; its end is told when the api-server is back",
        moment,
    )


def registry_goes(run: FaultyRun) -> None:
    """Away from before the push begins until the push has found that out."""
    run.reaches("smoke_test")  # which needs no registry
    stack = run.quick.stack
    if run.kills:
        run.reaches("push_model")
        moment = run.hit("registry")
    else:
        stack.compose.output("stop", "registry")
        run.reaches("push_model")
        moment = time.monotonic()
        stack.wait_for_log(run.run_id, "push_model", "trying again")
        stack.compose.output("start", "registry")
    run.make(
        "push_model",
        "the registry",
        lambda: run.task("push_model").state == "success",
        "the push is tried again until it answers; production moves once, last",
        moment,
    )


@pytest.mark.parametrize(
    "kills", [False, pytest.param(True, marks=pytest.mark.full)], ids=["restarted", "killed"]
)
def test_a_run_outlives_its_services(quick: QuickRuns, kills: bool) -> None:
    """Nothing is lost: each task ends well, in its first try, and has read what is this run's."""
    with watched_production(quick.stack) as production:
        run = FaultyRun(quick, quick.trigger(epochs=6, shards=SHARDS), kills)
        scheduler_goes(run)
        redis_goes(run)
        postgres_goes(run)
        if kills or cases(0, 1):
            api_server_goes(run)
        registry_goes(run)
        assert quick.finish(run.run_id).state == "success", quick.states(run.run_id)
    assert set(quick.states(run.run_id).values()) == {("success", 1)}
    assert run.shards("success") == SHARDS
    assert_of_one_run(quick.stack.paths(run.run_id))
    assert len([digest for digest in production.seen if digest]) == 2  # the old one, the new one


@pytest.mark.full
def test_what_redis_has_lost_is_queued_again(quick: QuickRuns) -> None:
    """As by a kill in the moment in which it hands tasks out: no worker has them, nor has Redis."""
    stack = quick.stack
    run = FaultyRun(quick, quick.trigger(shards=SHARDS), kills=True)
    until(lambda: run.task("preprocess.plan").state == "success", "the plan of the shards")
    with frozen(stack.compose.containers("worker")):
        until(lambda: held(run), "shards to wait in the broker")
        lost = held(run)
        stack.compose.exec("redis", ["sh", "-c", f"{_CLI} del default"])
        moment = time.monotonic()
    seconds = until(lambda: run.shards("success") == SHARDS, "every shard to end well") - moment
    happened = f"{lost} shards were queued again, and cleaned in their first try"
    fault = "Redis has lost what was queued"
    record(Fault("preprocess.clean", fault, happened, seconds, (QUEUED_AGAIN,)))
    assert quick.finish(run.run_id).state == "success", quick.states(run.run_id)
    assert set(quick.states(run.run_id).values()) == {("success", 1)}
    assert_of_one_run(stack.paths(run.run_id))
