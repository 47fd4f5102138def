"""The clear button on a running training: it ends at once and goes on after its last epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_tasks.dataset.phantoms import write_sample
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.records import TrainRecord
from ml_tasks.run_paths import RunPaths
from tests.airflow.runs import PATIENCE, finish
from tests.conftest import LocalAirflow

pytestmark = pytest.mark.full


def wait_until(what: Callable[[], object], words: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, f"not seen: {words}"
        time.sleep(0.2)


def test_a_training_that_is_cleared_while_it_runs_goes_on_after_its_last_epoch(
    airflow: LocalAirflow, tmp_path: Path
) -> None:
    """Airflow sends SIGTERM and 5 s later SIGKILL: an epoch at most may be lost, and no more."""
    write_sample(tmp_path / "raw", patients=60)
    airflow.api.wait_for_dag(DAG_ID, PATIENCE)
    airflow.api.pause(DAG_ID, False)
    # So few patients may leave the gate in doubt, and nobody is here to be asked.
    raw = str(tmp_path / "raw")
    conf = {"data_dir": raw, "epochs": 6, "push": False, "approval": "never"}
    run_id = airflow.api.trigger(DAG_ID, conf).dag_run_id
    run = RunPaths(airflow.config.paths.runs, run_id)
    wait_until(lambda: list(run.checkpoint.glob("epoch-*.ckpt")), "the first checkpoint")
    body = {"dry_run": False, "task_ids": ["train"], "dag_run_id": run_id, "only_failed": False}
    airflow.api.call("POST", f"/dags/{DAG_ID}/clearTaskInstances", json=body)
    ended = finish(airflow, run_id)
    train = ended.tasks["train"]
    assert train.state == "success", ended.text("train")
    first = airflow.api.log(DAG_ID, run_id, train.model_copy(update={"try_number": 1}))
    said = [line.event for line in first if "asked this process to end" in line.event]
    assert said, "the first attempt was killed before it could say what is kept"
    assert "the checkpoint of epoch " in said[0]
    record = run.load(TrainRecord)
    (resumed,) = record.resumed_from
    assert resumed >= 1
    assert f"resumed from epoch {resumed}" in ended.text("train")
    assert record.epochs == 6
    assert not run.checkpoint.exists(), "a training that is complete needs no checkpoint"
