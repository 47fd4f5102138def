"""The deployment DAG as Airflow parses it, its event, and what its task does without a stack."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from ml_tasks.config import Config
from ml_tasks.deploy_service import deploy_service
from ml_tasks.release.service_place import NETWORK
from tests.dags.described import DAGS, describe


@pytest.fixture(scope="module")
def dag() -> dict[str, Any]:
    return describe(DAGS / "mammography_deployment.py")


def test_one_task_on_the_worker_that_has_the_docker_socket(dag: dict[str, Any]) -> None:
    assert dag["queues"] == {"deploy_service": "build"}


def test_it_hears_of_a_move_and_looks_every_ten_minutes_one_run_at_a_time(
    dag: dict[str, Any],
) -> None:
    """An event alone could be lost: a DAG that is switched off hears none."""
    assert (dag["assets"], dag["cron"]) == (["mammography_production"], "*/10 * * * *")
    assert (dag["max_active_runs"], dag["catchup"]) == (1, False)


@pytest.mark.parametrize(
    ("file", "mover"), [("mammography_retraining", "push_model"), ("mammography_rollback", "move")]
)
def test_whoever_moves_production_emits_the_event_and_nobody_else(file: str, mover: str) -> None:
    outlets = describe(DAGS / f"{file}.py")["outlets"]
    told = [task for task, names in outlets.items() if "mammography_production" in names]
    assert told == [mover]


def test_the_page_says_what_red_and_skipped_mean(dag: dict[str, Any]) -> None:
    for words in ("A red task", "What served goes on", "Skipped", NETWORK, "inference-live"):
        assert words in dag["doc"]


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(DAGS)
    return importlib.import_module("operators.production_event")


def test_the_event_names_version_and_digest(
    operators: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Event:
        extra: dict[str, str]

    event = Event()
    context = {"outlet_events": {operators.PRODUCTION: event}}
    monkeypatch.setattr(operators, "get_current_context", lambda: context)
    moved = {"version": "v1", "digest": "sha256:1", "reason": "misses lesions"}
    assert operators.announced(moved) == moved
    assert event.extra == {"version": "v1", "digest": "sha256:1"}


def test_without_a_stack_it_is_skipped_with_the_reason(
    operators: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NETWORK, raising=False)
    task = importlib.import_module("operators.operation_task")
    monkeypatch.setattr(task, "config_now", lambda: Config())
    with pytest.raises(AirflowSkipException, match=f"{NETWORK} is not set: .*`make demo`"):
        task.run_operation(deploy_service)
