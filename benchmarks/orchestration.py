"""What Airflow costs: reading each DAG, and a run's time beside that of the stages themselves."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.table import PROJECT, Effort, Page, Row, not_measured
from benchmarks.timing import median_of
from ml_tasks.config import load_config, save_config
from ml_tasks.errors import StackError
from ml_tasks.local_stack.airflow import AirflowSettings, ensure_airflow, stop_airflow
from ml_tasks.local_stack.airflow_api import AirflowApi, LogLine, TaskInstance
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.local_stack.engine import Engine, ensure_engine
from ml_tasks.local_stack.follow import Follower
from ml_tasks.local_stack.ports import free_ports
from ml_tasks.local_stack.registry import ensure_registry, stop_registry

PARSE_GOAL, SECONDS_GOAL, SHARE_GOAL = 150.0, 15.0, 0.10
BEGINS = " of run "  # in the line that a stage begins with: sequences.py
_RETURNED = "Done. Returned value"  # Airflow's, as a task's own code has returned
_RUN = "A run from the trigger to its end"
OPEN_GATE = {  # every model passes, so that each task runs
    "gate.min_accuracy": 0,
    "gate.min_auc": 0,
    "gate.min_sensitivity": 0,
    "gate.max_ece": None,
    "gate.max_control_auc": None,
    "gate.non_inferiority": None,
}
# The smallest data that are accepted.
_SETTINGS = {"model.weights": "none", "training.epochs": 1, **OPEN_GATE}
_PATIENTS = 40
# Imports what every DAG takes from airflow.sdk, which loads its parts only as they are asked for;
# then runs one file as Airflow does. Prints milliseconds, and those that the processor worked.
_PARSE = """
import importlib.util, json, sys, time
sys.path.insert(0, sys.argv[2])
from airflow.sdk import Asset, AssetOrTimeSchedule, CronTriggerTimetable, Param
from airflow.sdk import dag, get_current_context, task, task_group
begin, worked = time.perf_counter(), time.process_time()
spec = importlib.util.spec_from_file_location("parsed", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(json.dumps([(time.perf_counter() - begin) * 1000, (time.process_time() - worked) * 1000]))
"""
_INTRODUCTION = """# Benchmarks of the orchestration

`python -m benchmarks --only orchestration --write` writes this page. It starts an Airflow of its
own, with a registry, in a temporary folder, runs the whole pipeline once on synthetic films with a
gate that every model passes, and ends them again. It needs a Docker engine and takes five to ten
minutes on two cores. Run it on a machine that does nothing else.

- **Reading a DAG**: a fresh Python that has imported from `airflow.sdk` what DAGs take from it runs
  the file; what is counted is that alone. The median of as many starts as there are rounds, at most
  ten; the processor's time stands beside it, since it depends less on what else the machine does.
- **The stages' own work** is the time from the line that a stage begins with to its return: what
  the same stage takes as `mammo <stage>`, with the libraries that it loads and what it notes for
  MLflow. Everything else counts as overhead: Airflow's scheduling, the start of a process for each
  task, reading the DAG in it, its end. Of tasks that run side by side the longest counts.
- **Overhead** is the time from the trigger to the run's end, less that work. It reaches its goal
  under 15 s, or under 10 % of the work.
"""
ORCHESTRATION = Page(
    PROJECT / "docs" / "benchmarks-orchestration.md",
    _INTRODUCTION,
    ("apache-airflow", "apache-airflow-task-sdk", "keras", "great-expectations", "mlflow"),
)


@dataclass(frozen=True)
class Spent:
    """Where the time of one task went, in seconds."""

    task: str
    inside: float  # the stage's function
    whole: float  # the task, from the start of its process to its end

    @property
    def around(self) -> float:
        return self.whole - self.inside


@dataclass(frozen=True)
class RunTime:
    """A run from its trigger to its end, and its tasks, one after the other."""

    wall: float
    tasks: tuple[Spent, ...]

    @property
    def work(self) -> float:
        return sum(each.inside for each in self.tasks)

    @property
    def overhead(self) -> float:
        return self.wall - self.work

    @property
    def between(self) -> float:
        """No task ran: the scheduler's part."""
        return self.wall - sum(each.whole for each in self.tasks)

    @property
    def within_goal(self) -> bool:
        return self.overhead < SECONDS_GOAL or self.overhead < SHARE_GOAL * self.work


def measured(effort: Effort) -> list[Row]:
    """The rows of the page."""
    return [*parse_rows(min(10, effort.rounds)), *run_rows()]


def parse_rows(rounds: int) -> list[Row]:
    """One row for each DAG file."""
    rows = []
    for file in sorted((PROJECT / "dags").glob("*.py")):
        took = np.asarray([_parsed(file) for _ in range(rounds + 1)][1:])  # the first compiles
        figure = median_of(took[:, 0])
        rows.append(
            Row(
                f"Reading dags/{file.name}, over `import airflow.sdk`, in ms",
                f"{figure.median:.0f} ms, {np.median(took[:, 1]):.0f} ms of processor time",
                "",
                figure,
                f"under {PARSE_GOAL:g} ms",
                figure.median < PARSE_GOAL,
            )
        )
    return rows


def run_rows() -> list[Row]:
    """A whole run in an Airflow of its own."""
    with tempfile.TemporaryDirectory(prefix="mammo-benchmarks-") as name:
        folder = Path(name)
        engine = ensure_engine(folder / "stack")
        if engine.host is None:
            return [not_measured(_RUN, f"no Docker engine: {engine.reason}")]
        try:
            run = _run_once(folder, engine)
        except StackError as error:
            return [not_measured(_RUN, str(error).splitlines()[0])]
    return overhead_rows(run)


def overhead_rows(run: RunTime) -> list[Row]:
    """The overhead against its goal, and where it is spent."""
    share = run.overhead / run.work
    goal = Row(
        "A run's overhead: from the trigger to its end, less the stages' own work, in seconds",
        f"{run.overhead:.1f} s ({share:.0%} of the work)",
        f"run {run.wall:.1f} s, work {run.work:.1f} s, {len(run.tasks)} tasks",
        run.overhead,
        f"under {SECONDS_GOAL:g} s, or {SHARE_GOAL:.0%}",
        run.within_goal,
    )
    between = Row("Of this between the tasks, in seconds", f"{run.between:.1f} s", "", run.between)
    return [
        goal,
        between,
        *(
            Row(
                f"Of this in the task {each.task}, around the stage, in seconds",
                f"{each.around:.1f} s",
                f"the stage {each.inside:.1f} s",
                each.around,
            )
            for each in run.tasks
        ),
    ]


def time_of(wall: float, tasks: Sequence[tuple[TaskInstance, list[LogLine]]]) -> RunTime:
    """Where a run's time went; of the shards of one task the longest counts."""
    found: dict[str, list[Spent]] = defaultdict(list)
    for task, lines in tasks:
        if task.start_date is None or task.end_date is None:
            continue
        whole = (task.end_date - task.start_date).total_seconds()
        found[task.task_id].append(Spent(task.task_id, inside(lines), whole))
    return RunTime(wall, tuple(max(each, key=lambda spent: spent.whole) for each in found.values()))


def inside(lines: Sequence[LogLine]) -> float:
    """Seconds from the line that a stage begins with to its return; 0 where it never began.

    Airflow says "Done." as the task's own code returns: after its last line a stage may still note
    itself for MLflow, as `mammo <stage>` does.
    """
    timed = [(line.timestamp, line) for line in lines if line.timestamp is not None]
    own = [(moment, line.event) for moment, line in timed if line.own]
    begun = [moment for moment, event in own if BEGINS in event]
    if not begun:
        return 0.0
    returned = [
        moment for moment, line in timed if line.event.startswith(_RETURNED) and moment >= begun[-1]
    ]
    return (min(returned, default=own[-1][0]) - begun[-1]).total_seconds()


def _parsed(file: Path) -> tuple[float, float]:
    command = [sys.executable, "-c", _PARSE, str(file), str(file.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT)
    whole, worked = json.loads(done.stdout.splitlines()[-1])
    return float(whole), float(worked)


def _run_once(folder: Path, engine: Engine) -> RunTime:
    from ml_tasks.dataset.phantoms import write_sample
    from ml_tasks.release.serving_base import ensure_serving_base

    client = engine.client(timeout=600)
    try:
        ensure_serving_base(client, PROJECT / ".local" / "wheels")
    finally:
        client.close()
    write_sample(folder / "raw", _PATIENTS)
    state = folder / "stack"
    registry = ensure_registry(state, free_ports(1)[0])
    defaults = load_config(PROJECT / "config.yaml")
    paths = {f"paths.{name}": str(folder / name) for name in type(defaults.paths).model_fields}
    settings = {**paths, **_SETTINGS, "release.registry": registry.address}
    save_config(load_config(PROJECT / "config.yaml", settings), folder / "config.yaml")
    extra = {"DOCKER_HOST": str(engine.host), "MAMMO_REGISTRY": registry.address}
    airflow = AirflowSettings(state, free_ports(1)[0], PROJECT, folder / "config.yaml", extra)
    try:
        with ensure_airflow(airflow) as api:
            return _triggered(api)
    finally:
        stop_airflow(state)
        stop_registry(state)


def _triggered(api: AirflowApi) -> RunTime:
    api.wait_for_dag(DAG_ID)
    api.pause(DAG_ID, False)
    begin = datetime.now(UTC)
    run_id = api.trigger(DAG_ID, {"approval": "never", "force": True}).dag_run_id
    run = Follower(api, DAG_ID, run_id).follow()
    tasks = [(task, api.log(DAG_ID, run_id, task)) for task in api.tasks(DAG_ID, run_id)]
    if run.state != "success" or run.end_date is None:
        failed = [task.name for task, _ in tasks if task.state == "failed"]
        raise StackError(f"the run ended {run.state}: {', '.join(failed)}")
    return time_of((run.end_date - begin).total_seconds(), tasks)
