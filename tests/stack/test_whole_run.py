"""Sample data by the whole DAG to an image that the stack's own service runs, and who did what."""

from __future__ import annotations

import httpx
import pytest

from ml_tasks.dataset.manifest import read_rows
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.local_stack.airflow_api import TaskInstance
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.local_stack.follow import TASKS
from ml_tasks.records import ReleaseRecord, Split, ValidationRecord
from ml_tasks.release.ledger import read_moves
from ml_tasks.run_paths import RECORD, RunPaths
from tests.stack import faults
from tests.stack.conftest import SHARDS, Released
from tests.stack.served import wait_until_served
from tests.waiting import PATIENCE

CLEAN = "preprocess.clean"
# Which service each task must run on; the others are anybody's of the queue default.
PLACES = {
    "train": "cpu-worker",
    "evaluate": "cpu-worker",
    "build_image": "builder",
    "smoke_test": "builder",
    "push_model": "builder",
}


@pytest.fixture(scope="module")
def tasks(released: Released) -> list[TaskInstance]:
    """Every task of the run, each shard for itself."""
    return released.stack.api.tasks(DAG_ID, released.run.dag_run_id)


def test_every_stage_succeeds_at_its_first_try(
    released: Released, tasks: list[TaskInstance]
) -> None:
    ended = {task.name: (task.state, task.try_number) for task in tasks}
    assert released.run.state == "success", ended
    assert set(ended.values()) == {("success", 1)}
    assert {task.task_id for task in tasks} == set(TASKS)


def test_the_shards_spread_over_both_default_workers(
    released: Released, tasks: list[TaskInstance]
) -> None:
    workers = set(released.stack.containers_by_hostname("worker"))
    assert len(workers) == 2
    shards = [task for task in tasks if task.task_id == CLEAN]
    assert len(shards) == SHARDS
    assert {task.hostname for task in shards} == workers


def test_training_is_the_gpu_queues_and_building_the_builders(
    released: Released, tasks: list[TaskInstance]
) -> None:
    hosts = {
        service: set(released.stack.containers_by_hostname(service))
        for service in ("worker", "cpu-worker", "builder")
    }
    for task in tasks:
        assert task.hostname in hosts[PLACES.get(task.task_id, "worker")], task.name


def test_the_page_shows_the_log_of_every_worker(
    released: Released, tasks: list[TaskInstance]
) -> None:
    """The files lie on the volume that all share: any worker may be gone by then."""
    for task in tasks:
        lines = released.stack.log(released.run.dag_run_id, task)
        assert [line for line in lines if line.own], f"{task.name} has said nothing of its own"


def test_production_is_the_tested_image(released: Released) -> None:
    record = released.paths.load(ReleaseRecord)
    assert record.image_id in faults.tested_images(released.stack)
    moves = read_moves(released.stack.config.paths.releases)
    assert moves is not None
    with faults.registry_read(released.stack) as registry:
        assert registry.digest(record.version) == record.digest
        # Another test's run may have moved it on.
        assert registry.digest("production") == moves[-1].digest
    assert [move.digest for move in moves].count(record.digest) == 1


@pytest.fixture(scope="module")
def served(released: Released) -> RunPaths:
    """The run whose release the stack's service answers with, once it follows `production`."""
    stack = released.stack
    version = wait_until_served(stack)
    (shipped,) = (
        path.parents[1]
        for path in stack.config.paths.runs.glob(f"*/{ReleaseRecord.stage}/{RECORD}")
        if ReleaseRecord.model_validate_json(path.read_bytes()).version == version
    )
    return RunPaths(stack.config.paths.runs, shipped.name)


def test_the_stacks_own_service_answers_as_the_model_was_evaluated(
    released: Released, served: RunPaths
) -> None:
    """By the address that the team uses, from the files that the workers have read."""
    version = served.load(ReleaseRecord).version
    raw = released.stack.on_host(served.load(ValidationRecord).raw)
    rows = read_rows(served.stage("evaluate") / "predictions.csv", PredictionRow)
    tested = [row for row in rows if row.split is Split.TEST]
    assert tested
    for row in tested[::8]:
        film = {"file": (raw / row.raw).read_bytes()}
        address = f"{released.stack.url('SERVICE_PORT')}/v1/predict"
        answer = httpx.post(address, files=film, timeout=PATIENCE, trust_env=False)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model_version"] == version
        (result,) = answer.json()["results"]
        assert result["probability"] == pytest.approx(row.probability, abs=1e-5)
