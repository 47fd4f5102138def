"""Batch scoring in a real scheduler: a folder scored, the form refused, a red task with reasons."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_tasks.config import Config, load_config, save_config
from ml_tasks.local_stack.airflow_api import DagRun
from tests.airflow.runs import PATIENCE
from tests.conftest import LocalAirflow
from tests.release.registry_server import holding
from tests.scoring.batches import DIGEST, ship, write_films

DAG = "mammography_batch_scoring"


@pytest.fixture(scope="module")
def production(airflow: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """The settings with a toy release in production; the other tests' come back afterwards."""
    root = tmp_path_factory.mktemp("production")
    ship(root)
    path = airflow.settings.config
    before = path.read_text()
    with holding(DIGEST) as registry:
        settings = {
            "paths.releases": str(root / "releases"),
            "paths.scoring": str(root / "scoring"),
            "release.registry_url": f"http://{registry.address}",
            "scoring.chunk": 2,
        }
        config = load_config(path, settings)
        save_config(config, path)
        try:
            yield config
        finally:
            path.write_text(before)


def run_to_end(airflow: LocalAirflow, conf: dict[str, Any]) -> DagRun:
    airflow.api.wait_for_dag(DAG, PATIENCE)
    airflow.api.pause(DAG, False)
    run_id = airflow.api.trigger(DAG, conf).dag_run_id
    deadline = time.monotonic() + PATIENCE
    while not (run := airflow.api.run(DAG, run_id)).ended:
        assert time.monotonic() < deadline, f"{run_id} is still {run.state}"
        time.sleep(1)
    return run


def test_a_folder_is_scored_shard_by_shard(
    airflow: LocalAirflow, production: Config, tmp_path: Path
) -> None:
    films = write_films(tmp_path / "films", 7)
    run = run_to_end(airflow, {"folder": str(films), "shards": 3, "name": "march"})
    tasks = {task.name: task.state for task in airflow.api.tasks(DAG, run.dag_run_id)}
    names = ("plan", "score", "score[1]", "score[2]", "assemble")
    assert tasks == dict.fromkeys(names, "success")
    folder = production.paths.scoring / "march"
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 7 and sum(row["error_code"] == "unreadable" for row in rows) == 1
    assert (folder / "predictions.parquet").exists() and (folder / "summary.html").exists()
    assert [path.name for path in production.paths.scoring.iterdir()] == ["march"]
    last = next(t for t in airflow.api.tasks(DAG, run.dag_run_id) if t.task_id == "assemble")
    own = [line.event for line in airflow.api.log(DAG, run.dag_run_id, last) if line.own]
    assert own[-1].startswith("batch march: 6 of 7 images scored by"), own


def test_without_a_folder_no_run_begins(airflow: LocalAirflow, production: Config) -> None:
    airflow.api.wait_for_dag(DAG, PATIENCE)
    for conf in ({}, {"folder": None}, {"folder": ""}, {"folder": "films"}):
        body = {"logical_date": None, "conf": conf}
        answer = airflow.api.request("POST", f"/dags/{DAG}/dagRuns", json=body)
        assert answer.status_code == 400, (conf, answer.text)
        assert "folder" in answer.text


def test_a_folder_that_is_not_there_is_red_at_once_and_says_what_to_do(
    airflow: LocalAirflow, production: Config, tmp_path: Path
) -> None:
    run = run_to_end(airflow, {"folder": str(tmp_path / "nowhere")})
    assert run.state == "failed"
    tasks = {task.task_id: task for task in airflow.api.tasks(DAG, run.dag_run_id)}
    assert (tasks["plan"].state, tasks["plan"].try_number) == ("failed", 1)
    text = "\n".join(map(str, airflow.api.log(DAG, run.dag_run_id, tasks["plan"])))
    assert "name the folder that holds the images" in text
