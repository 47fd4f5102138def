"""The retraining DAG as Airflow parses it: order, queues, form, schedule, cost of parsing."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path
from typing import Any

import annotated_types
import pytest
import yaml

from ml_tasks.config import CleaningConfig, Config
from ml_tasks.config_gate import GatePolicy
from ml_tasks.config_training import TrainingConfig
from ml_tasks.local_stack.airflow import AirflowSettings, write_environment
from ml_tasks.local_stack.follow import TASKS
from tests.dags.described import DAGS, describe

FILE = DAGS / "mammography_retraining.py"
# What decides how long a task outlives the api-server, and when a dead worker is noticed.
HEARTBEAT = {
    "tries": "AIRFLOW__WORKERS__EXECUTION_API_RETRIES",
    "shortest wait": "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN",
    "longest wait": "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX",
    "interval": "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL",
    "failed": "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS",
    "noticed": "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT",
}


@pytest.fixture(scope="module")
def dag() -> dict[str, Any]:
    return describe(FILE)


def test_the_stages_follow_one_another_in_a_line(dag: dict[str, Any]) -> None:
    assert dag["dag_id"] == "mammography_retraining"
    assert tuple(dag["order"]) == TASKS
    assert dag["edges"] == sorted([a, b] for a, b in itertools.pairwise(TASKS))


def test_only_gpu_workers_train_and_only_the_builder_needs_docker(dag: dict[str, Any]) -> None:
    """Another queue would train on a small worker, or hand the Docker socket to all of them."""
    wanted = {"train": "gpu", "evaluate": "gpu"}
    wanted |= dict.fromkeys(("build_image", "smoke_test", "push_model"), "build")
    assert dag["queues"] == {stage: wanted.get(stage, "default") for stage in TASKS}
    assert {stage for stage in TASKS if dag["pools"][stage] == "gpu"} == {"train", "evaluate"}
    assert dag["pools"]["push_model"] == "production"


def test_it_runs_weekly_or_on_new_data_one_at_a_time_and_never_catches_up(
    dag: dict[str, Any],
) -> None:
    assert dag["catchup"] is False
    assert dag["max_active_runs"] == 1
    assert dag["cron"] == "0 3 * * 1"
    assert dag["assets"] == ["mammography_new_data", "mammography_retraining_wanted"]


def test_every_task_has_a_time_limit_retries_and_a_sentence(dag: dict[str, Any]) -> None:
    assert all(seconds > 0 for seconds in dag["timeouts"].values())
    assert all(count >= 1 for count in dag["retries"].values())
    assert all(dag["docs"].values())


def test_training_is_tried_more_often_since_each_try_goes_on(dag: dict[str, Any]) -> None:
    others = [dag["retries"][stage] for stage in TASKS if stage != "train"]
    assert dag["retries"]["train"] == 3 > max(others)
    assert dag["delays"]["train"] == 300, "time for a worker to come back"


def test_token_and_broker_outlast_the_longest_try_wherever_airflow_runs(
    dag: dict[str, Any], tmp_path: Path
) -> None:
    """A token that ends before the try does would make Airflow kill a training that is well."""
    compose = yaml.safe_load((FILE.parents[1] / "docker-compose.yaml").read_text())
    several: dict[str, str] = compose["services"]["worker"]["environment"]
    config = tmp_path / "config.yaml"
    alone = write_environment(AirflowSettings(tmp_path, 1, tmp_path, config))
    token = "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME"
    broker = "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"
    longest = max(dag["timeouts"].values())
    assert longest == dag["timeouts"]["train"]
    for seconds in (several[token], alone[token], several[broker]):
        assert int(seconds) > longest
    for name in (token, *HEARTBEAT.values()):
        assert several[name].rstrip("}").rpartition(":-")[2] == alone[name], name
    number = {what: int(alone[name]) for what, name in HEARTBEAT.items()}
    waits = (number["shortest wait"] + number["longest wait"]) / 2  # drawn evenly
    request = (number["tries"] - 1) * waits
    assert request > 130, "the word that a task has ended must outlive two minutes, too"
    lonely = number["failed"] * (number["interval"] + request)
    assert lonely < number["noticed"] - 10, "a try must give up before the next one begins"


def test_the_page_shows_what_the_flow_does(dag: dict[str, Any]) -> None:
    for word in (*TASKS, "asset", "config.yaml", "green", "clear", "approves"):
        assert word in dag["doc"]


def test_each_field_of_the_form_stands_for_a_setting(
    dag: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field that no setting belongs to would be shown, filled in and ignored."""
    monkeypatch.syspath_prepend(FILE.parent)
    settings = importlib.import_module("operators.stage_task").SETTINGS
    assert set(settings) == set(dag["params"]) - {"force"}
    for setting in settings.values():
        section, name = setting.split(".")
        assert name in type(getattr(Config(), section)).model_fields


def test_each_field_of_the_form_is_explained_and_empty_by_default(dag: dict[str, Any]) -> None:
    """A default retyped in the DAG would silently overrule config.yaml."""
    names = {"data_dir", "shards", "weights", "epochs", "batch_size", "min_accuracy", "push"}
    assert set(dag["params"]) == names | {"approval", "force"}
    for param in dag["params"].values():
        assert param["value"] is None
        assert param["schema"]["title"]
        assert param["description"]


def test_the_bounds_of_the_form_are_those_of_the_configuration(dag: dict[str, Any]) -> None:
    def bounds(section: Any, name: str) -> tuple[Any, Any]:
        found = section.model_fields[name].metadata
        low = next(m.ge for m in found if isinstance(m, annotated_types.Ge))
        return low, next(m.le for m in found if isinstance(m, annotated_types.Le))

    for field, (section, name) in {
        "shards": (CleaningConfig, "shards"),
        "epochs": (TrainingConfig, "epochs"),
        "batch_size": (TrainingConfig, "batch_size"),
        "min_accuracy": (GatePolicy, "min_accuracy"),
    }.items():
        schema = dag["params"][field]["schema"]
        assert (schema["minimum"], schema["maximum"]) == bounds(section, name)
