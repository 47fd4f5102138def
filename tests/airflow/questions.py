"""Questions to a person in a real Airflow: runs that are judged, what is asked, the answer."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ml_tasks.config import save_config
from ml_tasks.config_operation import ApprovalConfig
from ml_tasks.records import Verdict
from ml_tasks.run_paths import RunPaths
from tests.airflow.runs import PATIENCE
from tests.toy_run import make_toy_run

if TYPE_CHECKING:
    from tests.conftest import LocalAirflow

DAG = "approval_only"
Judged = Callable[[str, Verdict, float], RunPaths]


@pytest.fixture(scope="module")
def judged(airflow: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    """Makes a judged run where this Airflow's runs are, and starts the DAG on it."""
    airflow.api.wait_for_dag(DAG, PATIENCE)
    airflow.api.pause(DAG, False)
    made: list[Path] = []

    def make(run_id: str, verdict: Verdict, hours: float = 1) -> RunPaths:
        toy = make_toy_run(tmp_path_factory.mktemp(run_id), run_id, verdict)
        run = RunPaths(airflow.config.paths.runs, run_id)
        made.append(shutil.copytree(toy.run.root, run.root))
        config = airflow.config.model_copy(update={"approval": ApprovalConfig(timeout_hours=hours)})
        save_config(config, run.config)
        airflow.api.trigger(DAG, {}, run_id)
        return run

    yield make
    for folder in made:
        shutil.rmtree(folder)


def states(airflow: LocalAirflow, run_id: str) -> dict[str, str | None]:
    return {task.task_id: task.state for task in airflow.api.tasks(DAG, run_id)}


def wait(airflow: LocalAirflow, run_id: str, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, f"{run_id}: {states(airflow, run_id)}"
        time.sleep(0.5)


def wait_until_asked(airflow: LocalAirflow, run_id: str, times: int = 1) -> dict[str, Any]:
    """The question, once the scheduler has seen the end of the asking, for the n-th time.

    An answer before that, faster than a person's, makes Airflow 3.3 take the end of the asking for
    the end of the task, which then fails and is tried again.
    """
    wait(airflow, run_id, lambda: states(airflow, run_id)["approve"] == "awaiting_input")
    wait(airflow, run_id, lambda: ends_seen(airflow, DAG, run_id, "approve") >= times)
    asked: dict[str, Any] = airflow.api.call("GET", question(run_id))
    return asked


def ended(airflow: LocalAirflow, run_id: str) -> dict[str, str | None]:
    wait(airflow, run_id, lambda: airflow.api.run(DAG, run_id).ended)
    return {"run": airflow.api.run(DAG, run_id).state, **states(airflow, run_id)}


def question(run_id: str) -> str:
    return f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"


def answer(airflow: LocalAirflow, run_id: str, option: str, reason: str) -> None:
    body = {"chosen_options": [option], "params_input": {"reason": reason}}
    airflow.api.call("PATCH", question(run_id), json=body)


def ends_seen(airflow: LocalAirflow, dag_id: str, run_id: str, task_id: str) -> int:
    """How many processes of a task that asks the scheduler knows to have ended."""
    log = (airflow.settings.state / "logs" / "airflow.log").read_text(errors="replace")
    return sum(
        "Received executor event with state success" in line
        and f"dag_id='{dag_id}'" in line
        and f"run_id='{run_id}'" in line
        and f"task_id='{task_id}'" in line
        for line in log.splitlines()
    )
