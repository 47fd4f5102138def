"""The stack with one default worker or two: a retraining, a folder cleaned, a folder scored."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.delays import (
    Delay,
    TimedTask,
    delays,
    timed_tasks,
    upstream_of,
    wall_seconds,
    work_seconds,
)
from benchmarks.orchestration import OPEN_GATE
from benchmarks.table import PROJECT
from ml_tasks.deployment import stack
from ml_tasks.deployment.compose import docker
from ml_tasks.deployment.health import wait_until_healthy
from ml_tasks.deployment.needed_images import ensure_images, images_of
from ml_tasks.errors import StackError
from ml_tasks.local_stack.demo import DAG_ID
from tests.stack.running_stack import RunningStack, start_stack, stop_stack

CLEANING, SCORING = "mammography_scale", "mammography_batch_scoring"
_DAG = Path(__file__).parent / "scale_dags" / f"{CLEANING}.py"
_FILMS = "data/films"  # below the shared volume: cleaned and scored, never trained on
_SHARDS = 2
_LIMIT = 600.0  # seconds for any single wait
# Each worker is one process on one core.
_SETTINGS = {
    "model.weights": "none",
    "training.epochs": 1,
    "cleaning.workers": 1,
    "cleaning.shards": _SHARDS,
    "scoring.threads": 1,
    "scoring.shards": _SHARDS,
    **OPEN_GATE,
}


@dataclass(frozen=True)
class Round:
    """One pass over the folder by so many workers."""

    workers: int
    wall: float  # seconds from the end of the task before to the end of the last shard
    shards: tuple[float, ...]  # seconds of each, its process included


@dataclass
class ScaledStack:
    """The stack, which of its workers stands still, and what Airflow's delays have been so far."""

    running: RunningStack
    workers: int = 2
    delays: list[Delay] = field(default_factory=list)
    halted: str = ""  # the container of the second worker, while it is stopped
    batches: int = 0

    def retrain(self) -> dict[str, float]:
        """A release of the small sample, in production; seconds of each of its tasks."""
        self.running.api.wait_for_dag(DAG_ID)
        self.running.api.pause(DAG_ID, False)
        conf = {"force": True, "approval": "never"}
        run_id = self.running.api.trigger(DAG_ID, conf).dag_run_id
        tasks = self._finished(DAG_ID, run_id)
        names = {task.task_id for task in tasks if task.start_date}
        return {name: round(sum(work_seconds(tasks, name)), 2) for name in sorted(names)}

    def prepare_cleaning(self) -> tuple[str, dict[str, float]]:
        """The folder validated and planned; the run, and seconds of its tasks."""
        api = self.running.api
        api.wait_for_dag(CLEANING)
        api.pause(CLEANING, False)
        run_id = api.trigger(CLEANING, {"data_dir": f"/mammo/{_FILMS}"}).dag_run_id
        tasks = self._finished(CLEANING, run_id)
        names = ("validate_data", "plan", "clean")
        return run_id, {name: round(sum(work_seconds(tasks, name)), 2) for name in names}

    def clean(self, run_id: str, workers: int) -> Round:
        """The planned folder cleaned again, by so many workers, with an empty cache."""
        self.set_workers(workers)
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": ["forget"],
            "include_downstream": True,
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.running.api.call("POST", f"/dags/{CLEANING}/clearTaskInstances", json=body)
        return self._round(
            self._finished(CLEANING, run_id, again={"forget", "clean"}), "clean", "forget"
        )

    def score(self, workers: int) -> Round:
        """The folder scored by what is in production."""
        self.set_workers(workers)
        self.running.api.wait_for_dag(SCORING)
        self.running.api.pause(SCORING, False)
        self.batches += 1
        conf = {"folder": f"/mammo/{_FILMS}", "name": f"scale{self.batches}"}
        run_id = self.running.api.trigger(SCORING, conf).dag_run_id
        return self._round(self._finished(SCORING, run_id), "score", "plan")

    def set_workers(self, count: int) -> None:
        """Stops the second worker, or starts it again and waits until it takes tasks."""
        if count == self.workers:
            return
        if count == 1:
            self.halted = self.running.compose.containers("worker")[-1]
            docker("stop", "--time", "60", self.halted)
        else:
            docker("start", self.halted)
            wait_until_healthy(self.running.compose, service="worker")
        self.workers = count

    def _round(self, tasks: list[TimedTask], task_id: str, after: str) -> Round:
        seconds = tuple(round(each, 2) for each in work_seconds(tasks, task_id))
        used = {task.hostname for task in tasks if task.task_id == task_id}
        if len(used) != self.workers:
            raise StackError(f"{task_id} ran on {len(used)} workers, not on {self.workers}")
        return Round(self.workers, round(wall_seconds(tasks, task_id, after), 2), seconds)

    def _finished(
        self, dag_id: str, run_id: str, again: frozenset[str] | set[str] = frozenset()
    ) -> list[TimedTask]:
        """The tasks of a run that must succeed; its delays are noted, `again`: of these alone."""
        api, deadline = self.running.api, time.monotonic() + _LIMIT
        while not (run := api.run(dag_id, run_id)).ended:
            if time.monotonic() > deadline:
                raise StackError(f"{dag_id} {run_id} is {run.state} after {_LIMIT:.0f} s")
            time.sleep(1)
        tasks = timed_tasks(api, dag_id, run_id)
        if run.state != "success":
            failed = [task.task_id for task in tasks if task.state == "failed"]
            raise StackError(f"{dag_id} {run_id} ended {run.state}: {', '.join(failed)}")
        found = delays(tasks, upstream_of(api, dag_id))
        # What was cleared waits for the clearing, not for what ended long before.
        self.delays += [each for each in found if not again or each.task in again - {"forget"}]
        return tasks


@contextmanager
def scaled_stack(root: Path, films: Path, small: Path) -> Iterator[ScaledStack]:
    """A stack of its own with two default workers of one task each; ended afterwards.

    `films` is cleaned and scored, `small` trained on; both folders are moved to the stack. Images
    that are missing, or older than the checkout, are made first.
    """
    ensure_images(PROJECT, images_of(["cpu"]), print)
    data = root / "shared" / "data"
    data.mkdir(parents=True)
    shutil.move(small, data / "raw")
    shutil.move(films, root / "shared" / _FILMS)
    try:
        running = start_stack(root, _SETTINGS, {"MAMMO_WORKER_TASKS": "1"})
    except BaseException:
        _end_half_started(root)
        raise
    try:
        shutil.copy(_DAG, root / "dags" / _DAG.name)  # read while the retraining goes on
        yield ScaledStack(running)
    finally:
        stop_stack(running)


def round_facts(rounds: list[Round]) -> list[dict[str, Any]]:
    """For the JSON file."""
    return [
        {"workers": each.workers, "wall": each.wall, "shards": list(each.shards)} for each in rounds
    ]


def _end_half_started(root: Path) -> None:
    """What was made of a stack that failed to come up; its error is the one that counts."""
    with suppress(StackError):
        stack.down(root, lambda _: None)
        stack.stack(root).output("down", "--volumes", "--remove-orphans")
