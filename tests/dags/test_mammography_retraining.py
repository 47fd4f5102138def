"""The retraining DAG as Airflow parses it: order, queues, form, schedule, cost of parsing."""

from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys
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

FILE = Path(__file__).resolve().parents[2] / "dags" / "mammography_retraining.py"

_DESCRIBE = """
import importlib.util, json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
import airflow.sdk
sys.path.insert(0, {folder!r})
before = set(sys.modules)
del opened[:]
spec = importlib.util.spec_from_file_location("the_dag", {file!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
# A bare number is a file descriptor, not a file.
files = [n for n in opened if n.startswith("/") and "/lib/" not in n and n != "/dev/null"]
dag = module.mammography_retraining()
print(json.dumps({{
    "dag_id": dag.dag_id,
    "catchup": dag.catchup,
    "max_active_runs": dag.max_active_runs,
    "doc": dag.doc_md,
    "order": [task.task_id for task in dag.topological_sort()],
    "edges": sorted([t.task_id, down] for t in dag.tasks for down in t.downstream_task_ids),
    "queues": {{task.task_id: task.queue for task in dag.tasks}},
    "pools": {{task.task_id: task.pool for task in dag.tasks}},
    "retries": {{task.task_id: task.retries for task in dag.tasks}},
    "delays": {{task.task_id: task.retry_delay.total_seconds() for task in dag.tasks}},
    "timeouts": {{t.task_id: t.execution_timeout.total_seconds() for t in dag.tasks}},
    "docs": {{task.task_id: task.doc_md for task in dag.tasks}},
    "cron": dag.timetable.timetable.expression if hasattr(dag.timetable, "timetable") else None,
    "assets": [a.name for a in dag.timetable.asset_condition.objects],
    "params": {{k: {{"value": p.value, "schema": p.schema, "description": p.description}}
               for k, p in ((k, dag.params.get_param(k)) for k in dag.params)}},
    "new_modules": sorted(set(sys.modules) - before),
    "files": files,
}}))
"""


@pytest.fixture(scope="module")
def dag() -> dict[str, Any]:
    """What the DAG looks like after parsing it in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _DESCRIBE.format(file=str(FILE), folder=str(FILE.parent))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    described: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return described


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
    for name in (
        token,
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL",
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT",
    ):
        assert several[name] == alone[name], name
    lonely = int(alone["AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL"]) * int(
        alone["AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS"]
    )
    noticed = int(alone["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"])
    assert lonely < noticed, "a try must have given up before the next one begins"


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


def test_parsing_loads_nothing_heavy_and_reads_no_file(dag: dict[str, Any]) -> None:
    """The scheduler parses the file every half minute; a heavy import would stall every DAG."""
    heavy = ("tensorflow", "keras", "great_expectations", "docker", "pandas", "cv2", "ml_tasks")
    loaded = [name for name in dag["new_modules"] if name.split(".")[0] in heavy]
    assert loaded == []
    read = [Path(name) for name in dag["files"] if "__pycache__" not in name]
    assert [path for path in read if FILE.parent not in path.parents] == []
