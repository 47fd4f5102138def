"""Runs of the retraining DAG in a real scheduler, started once and shared between the tests."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_tasks.local_stack.airflow_api import DagRun, LogLine, TaskInstance
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.run_paths import RunPaths

if TYPE_CHECKING:
    from tests.conftest import LocalAirflow

PATIENCE = 900  # seconds for one run, or until a DAG is read, on a busy machine too


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended, with its tasks, their logs and its directory."""

    run: DagRun
    tasks: dict[str, TaskInstance]
    logs: dict[str, list[LogLine]]
    paths: RunPaths

    @property
    def states(self) -> dict[str, str | None]:
        return {name: task.state for name, task in self.tasks.items()}

    def text(self, task: str) -> str:
        """The whole log of a task."""
        return "\n".join(str(line) for line in self.logs[task])

    def last_words(self, task: str) -> str:
        """The last line that the stage itself wrote."""
        return next(line.event for line in reversed(self.logs[task]) if line.own)


def finish(airflow: LocalAirflow, run_id: str) -> EndedRun:
    """Waits until a run has ended and gathers what it left."""
    deadline = time.monotonic() + PATIENCE
    while not (run := airflow.api.run(DAG_ID, run_id)).ended:
        assert time.monotonic() < deadline, f"{run_id} is still {run.state}"
        time.sleep(1)
    tasks = {task.name: task for task in airflow.api.tasks(DAG_ID, run_id)}
    logs = {name: airflow.api.log(DAG_ID, run_id, task) for name, task in tasks.items()}
    return EndedRun(run, tasks, logs, RunPaths(airflow.config.paths.runs, run_id))


def run_to_end(airflow: LocalAirflow, conf: dict[str, Any]) -> EndedRun:
    """Triggers a run as the web page does and waits for its end."""
    airflow.api.wait_for_dag(DAG_ID, PATIENCE)
    airflow.api.pause(DAG_ID, False)
    return finish(airflow, airflow.api.trigger(DAG_ID, conf).dag_run_id)
