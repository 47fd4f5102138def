"""A run of the DAG, followed live at the terminal: a line when a task starts or ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from ml_tasks.errors import StackError
from ml_tasks.local_stack.airflow_api import AirflowApi, DagRun, LogLine, TaskInstance
from ml_tasks.local_stack.terminal import in_words, step
from ml_tasks.records import STAGES

_PATIENCE = 30  # answers in a row that may fail
_RUNNING = frozenset({"running", "restarting", "deferred"})
_WAITING = "awaiting_input"  # for a person

# The tasks of the DAG, in order: the stage preprocess is three of them.
TASKS = tuple(
    task
    for stage in STAGES
    for task in (
        ("preprocess.plan", "preprocess.clean", "preprocess.assemble")
        if stage == "preprocess"
        else (stage,)
    )
)


@dataclass
class Follower:
    """What has been said of a run so far."""

    api: AirflowApi
    dag_id: str
    run_id: str
    say: Callable[[str], None] = step
    _states: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    _epochs_shown: int = 0

    def follow(self, every_seconds: float = 1.0) -> DagRun:
        """Returns once the run has ended."""
        self._tell_what_goes_before()
        failures = 0
        while True:
            try:
                # The run is asked first: whatever ended it is then among its tasks.
                run = self.api.run(self.dag_id, self.run_id)
                for task in in_order(self.api.tasks(self.dag_id, self.run_id)):
                    self._tell(task)
                failures = 0
            except (StackError, httpx.HTTPError):  # the run goes on while a page is slow
                failures += 1
                if failures == _PATIENCE:
                    raise
            else:
                if run.ended:
                    return run
            time.sleep(every_seconds)

    def _tell_what_goes_before(self) -> None:
        for run in self.api.runs(self.dag_id):
            if run.state == "running" and run.dag_run_id != self.run_id:
                self.say(f"waiting for {run.dag_run_id} to end: one run goes at a time")

    def _tell(self, task: TaskInstance) -> None:
        now = (task.state, task.try_number)
        changed = now != self._states.get(task.name, (None, 0))
        if changed and task.state in _RUNNING:
            again = f" (try {task.try_number})" if task.try_number > 1 else ""
            self.say(f"{task.name}: started{again}")
            self._epochs_shown = 0 if task.task_id == "train" else self._epochs_shown
        if changed and task.state == _WAITING:
            self.say(f"{task.name}: waits for a person, who answers on the page (Required Actions)")
        if task.task_id == "train" and (task.state in _RUNNING or changed):
            self._tell_epochs(task)
        if changed and task.state == "up_for_retry":
            self.say(f"{task.name}: failed, will be tried again: {self._last(task)}")
        elif changed and task.ended:
            note = self._last(task)
            took = f" in {in_words(task.duration)}" if task.duration and task.try_number else ""
            self.say(f"{task.name}: {task.state}{took}{': ' + note if note else ''}")
        self._states[task.name] = now

    def _tell_epochs(self, task: TaskInstance) -> None:
        lines = epochs(self.api.log(self.dag_id, self.run_id, task))
        for line in lines[self._epochs_shown :]:
            self.say(f"  {line}")
        self._epochs_shown = len(lines)

    def _last(self, task: TaskInstance) -> str:
        return outcome(self.api.log(self.dag_id, self.run_id, task), task)


def in_order(tasks: list[TaskInstance]) -> list[TaskInstance]:
    """The tasks as the DAG runs them; ones not known here come last."""
    places = {name: place for place, name in enumerate(TASKS)}
    return sorted(tasks, key=lambda task: (places.get(task.task_id, len(TASKS)), task.map_index))


def epochs(lines: list[LogLine]) -> list[str]:
    """The lines that tell of an epoch each."""
    return [line.event for line in lines if line.own and line.event.lower().startswith("epoch")]


def outcome(lines: list[LogLine], task: TaskInstance) -> str:
    """What the log says at its end: the reason of a skip or a failure, else the stage's summary."""
    if task.state == "skipped":
        reasons = [line.reason for line in lines if line.reason]
        return reasons[-1] if reasons else "because of an earlier task"
    if task.state in ("failed", "up_for_retry"):
        errors = [error for line in lines for error in line.error_detail or ()]
        if errors:
            return str(errors[-1].get("exc_value", "")).split("\n")[0]
    own = [line.event for line in lines if line.own]
    return own[-1].split("\n")[0] if own else ""
