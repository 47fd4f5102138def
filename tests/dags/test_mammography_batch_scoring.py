"""The batch scoring DAG as Airflow parses it: order, form, retries, cost of parsing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import annotated_types
import pytest

from ml_tasks.config import Config
from ml_tasks.config_operation import ScoringConfig
from ml_tasks.scoring.place import LONGEST_NAME, BatchPlace

FILE = Path(__file__).resolve().parents[2] / "dags" / "mammography_batch_scoring.py"

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
files = [n for n in opened if n.startswith("/") and "/lib/" not in n and n != "/dev/null"]
dag = module.mammography_batch_scoring()
print(json.dumps({{
    "dag_id": dag.dag_id,
    "schedule": dag.schedule,
    "catchup": dag.catchup,
    "max_active_runs": dag.max_active_runs,
    "doc": dag.doc_md,
    "edges": sorted([t.task_id, down] for t in dag.tasks for down in t.downstream_task_ids),
    "mapped": [t.task_id for t in dag.tasks if t.is_mapped],
    "queues": {{task.task_id: task.queue for task in dag.tasks}},
    "retries": {{task.task_id: task.retries for task in dag.tasks}},
    "timeouts": {{t.task_id: t.execution_timeout.total_seconds() for t in dag.tasks}},
    "docs": {{task.task_id: task.doc_md for task in dag.tasks}},
    "params": {{k: {{"value": p.value if p.has_value else None, "schema": p.schema,
                     "required": repr(p.value) == repr(module.Param().value),
                     "description": p.description}}
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


def test_plan_then_the_shards_then_assemble_started_by_hand_alone(dag: dict[str, Any]) -> None:
    assert dag["dag_id"] == "mammography_batch_scoring"
    assert dag["edges"] == [["plan", "score"], ["score", "assemble"]]
    assert dag["mapped"] == ["score"]
    assert (dag["schedule"], dag["catchup"], dag["max_active_runs"]) == (None, False, 1)
    assert set(dag["queues"].values()) == {"default"}


def test_scoring_is_tried_more_often_since_each_try_goes_on(dag: dict[str, Any]) -> None:
    assert dag["retries"] == {"plan": 1, "score": 3, "assemble": 1}
    assert dag["timeouts"]["score"] == max(dag["timeouts"].values()) == 86_400
    assert all(dag["docs"].values())


def test_the_form_asks_for_the_folder_and_for_nothing_else(dag: dict[str, Any]) -> None:
    """No folder is the usual one: a run without it must not begin."""
    assert [name for name, param in dag["params"].items() if param["required"]] == ["folder"]
    assert set(dag["params"]) == {"folder", "name", "shards", "format"}
    for param in dag["params"].values():
        assert param["value"] is None
        assert param["schema"]["title"] and param["description"]


def test_the_bounds_of_the_form_are_those_of_the_settings(dag: dict[str, Any]) -> None:
    found = ScoringConfig.model_fields["shards"].metadata
    shards = dag["params"]["shards"]["schema"]
    assert shards["minimum"] == next(m.ge for m in found if isinstance(m, annotated_types.Ge))
    assert shards["maximum"] == next(m.le for m in found if isinstance(m, annotated_types.Le))
    name = dag["params"]["name"]["schema"]
    assert name["maxLength"] == LONGEST_NAME
    assert BatchPlace(Path("/s"), "b" * LONGEST_NAME)


def test_each_setting_of_the_form_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that no setting belongs to would be shown, filled in and ignored."""
    import importlib

    monkeypatch.syspath_prepend(FILE.parent)
    for setting in importlib.import_module("operators.scoring_task").SETTINGS.values():
        section, name = setting.split(".")
        assert name in type(getattr(Config(), section)).model_fields


def test_the_page_says_what_a_rerun_does_and_where_the_results_are(dag: dict[str, Any]) -> None:
    for word in ("re-run", "summary.html", "predictions.csv", "production", "clear", "mammo"):
        assert word in dag["doc"]


def test_parsing_loads_nothing_heavy_and_reads_no_file(dag: dict[str, Any]) -> None:
    heavy = ("onnxruntime", "pyarrow", "cv2", "numpy", "pandas", "ml_tasks", "docker", "keras")
    assert [name for name in dag["new_modules"] if name.split(".")[0] in heavy] == []
    read = [Path(name) for name in dag["files"] if "__pycache__" not in name]
    assert [path for path in read if FILE.parent not in path.parents] == []
