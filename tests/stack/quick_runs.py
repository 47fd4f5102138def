"""Runs for faults: a few films, few epochs, a gate that lets every model pass."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from ml_tasks.dataset.phantoms import write_sample
from ml_tasks.errors import StackError
from ml_tasks.local_stack.airflow_api import DagRun
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.records import STAGES
from ml_tasks.run_paths import RECORD, RunPaths
from ml_tasks.storage import sha256_file, write_bytes
from tests.airflow.shared_runs import OPEN_GATE
from tests.stack.running_stack import RUN_SECONDS, RunningStack

DATA = "data/small"  # below the shared volume
PATIENTS = 40  # enough for both classes in every split


@dataclass(frozen=True)
class QuickRuns:
    """Runs of the retraining on a few films; each lasts a minute to six, as the machine is."""

    stack: RunningStack
    raw: Path  # where their films lie, on this machine

    def trigger(self, **form: Any) -> str:
        """Starts a run; gives its id."""
        return self.stack.trigger({"epochs": 1, **form})

    def finish(self, run_id: str) -> DagRun:
        """Waits for the end of a run, also while a service that it needs is away."""
        until(lambda: self.stack.api.run(DAG_ID, run_id).ended, f"{run_id} to end")
        return self.stack.api.run(DAG_ID, run_id)

    def states(self, run_id: str) -> dict[str, tuple[str | None, int]]:
        """State and number of tries of each task."""
        found = self.stack.tasks(run_id)
        return {name: (task.state, task.try_number) for name, task in found.items()}

    def clear_failed(self, run_id: str) -> None:
        """As a person clears what failed on the page: it and what follows run again."""
        body = {"dag_run_id": run_id, "only_failed": True, "dry_run": False, "reset_dag_runs": True}
        self.stack.api.call("POST", f"/dags/{DAG_ID}/clearTaskInstances", json=body)


@contextmanager
def quick_runs(stack: RunningStack, data: str = DATA) -> Iterator[QuickRuns]:
    """Within the block, config.yaml of the stack is set for such runs."""
    folder = stack.shared / data
    if not folder.exists():
        write_sample(folder, patients=PATIENTS)
    with settings_of(stack, {**OPEN_GATE, "gate.min_accuracy": 0, "paths.raw": data}):
        yield QuickRuns(stack, folder)


@contextmanager
def settings_of(stack: RunningStack, overrides: dict[str, Any]) -> Iterator[None]:
    """Within the block, config.yaml of the stack has other values; a run begins with them."""
    path = stack.shared / "config.yaml"
    before = path.read_bytes()
    content = yaml.safe_load(before)
    for name, value in overrides.items():
        section, _, key = name.partition(".")
        content[section][key] = value
    write_bytes(path, yaml.safe_dump(content).encode())
    try:
        yield
    finally:
        write_bytes(path, before)


def until(what: Callable[[], object], named: str) -> float:
    """Returns the moment (monotonic) at which `what` holds; no answer of Airflow is a No."""
    deadline = time.monotonic() + RUN_SECONDS
    while True:
        try:
            if what():
                return time.monotonic()
        except (StackError, httpx.HTTPError):
            pass
        assert time.monotonic() < deadline, f"waited {RUN_SECONDS} s for {named}"
        time.sleep(0.3)


def assert_of_one_run(paths: RunPaths) -> None:
    """Every record of the run is its own, and made from the records that lie beside it.

    A stage that read another run's files, or an older attempt's, would show here.
    """
    kept = {path.parent.name: path for path in _records(paths.root)}
    for stage, path in kept.items():
        record = json.loads(path.read_text())
        assert record["run_id"] == paths.run_id, f"{stage} is of {record['run_id']}"
        for earlier, sha256 in record["inputs"].items():
            folder = paths.stage(earlier)
            assert sha256_file(folder / RECORD) == sha256, f"{stage} was made from other {earlier}"


def _records(root: Path) -> list[Path]:
    names = [*(stage for stage in STAGES if stage != "preprocess"), "plan_cleaning", "cleaned"]
    return [root / name / RECORD for name in names if (root / name / RECORD).exists()]
