"""A DAG file as Airflow parses it, described in a process of its own: nothing stays imported here.

`describe(file)` gives plain values for each DAG of a file; what parsing loaded and opened comes
with them, so that a test can hold every DAG file to the same parse hygiene.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

DAGS = Path(__file__).resolve().parents[2] / "dags"

# The files that Airflow's scan finds: what .airflowignore names holds no DAG.
DAG_FILES = tuple(sorted(DAGS.glob("*.py")))

# Nothing of these at parse time: the scheduler parses each file again and again.
HEAVY = (
    "tensorflow",
    "keras",
    "great_expectations",
    "docker",
    "pandas",
    "cv2",
    "evidently",
    "numpy",
    "onnxruntime",
    "pyarrow",
    "mlflow",
    "ml_tasks",
)

_DESCRIBE = """
import collections.abc, importlib.util, json, os, sys

opened, asked = [], []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
import airflow.sdk
from airflow.sdk.definitions._internal.contextmanager import DagContext

file, folder = sys.argv[1:]
sys.path.insert(0, folder)

class Watched(type(os.environ)):
    def __getitem__(self, key):
        asked.append(key)
        return super().__getitem__(key)

watched = Watched(os.environ._data, os.environ.encodekey, os.environ.decodekey,
                  os.environ.encodevalue, os.environ.decodevalue)
before = set(sys.modules)
del opened[:]
os.environ = watched
spec = importlib.util.spec_from_file_location("the_dag", file)
module = importlib.util.module_from_spec(spec)
sys.modules["the_dag"] = module
DagContext.current_autoregister_module_name = "the_dag"
spec.loader.exec_module(module)
new_modules = sorted(set(sys.modules) - before)
# A bare number is a file descriptor, not a file.
files = [n for n in opened if n.startswith("/") and "/lib/" not in n and n != "/dev/null"]
dags = {dag.dag_id: dag for dag, _ in DagContext.autoregistered_dags}

def seconds(span):
    return None if span is None else span.total_seconds()

def assets(condition):
    if condition is None:
        return []
    parts = getattr(condition, "objects", None)
    return [condition.name] if parts is None else [n for part in parts for n in assets(part)]

def cron(timetable):
    inner = getattr(timetable, "timetable", timetable)
    return getattr(inner, "expression", None)

def callbacks(found):
    # A mapped task keeps what it was given: one callback or several.
    found = found if isinstance(found, (list, tuple)) else [found] if found else []
    return [type(each).__name__ for each in found]

def asked_for(param):
    # Without a default the form does not start before it is filled in.
    return type(param.value).__name__ == "ArgNotSet"

def fits(param):
    try:
        param.resolve()
        return True
    except Exception as error:
        return str(error)

def described(dag):
    per_task = {
        "queues": lambda t: t.queue,
        "pools": lambda t: t.pool,
        "retries": lambda t: t.retries,
        "delays": lambda t: seconds(t.retry_delay),
        "timeouts": lambda t: seconds(t.execution_timeout),
        "docs": lambda t: t.doc_md,
        "rules": lambda t: str(t.trigger_rule),
        "kinds": lambda t: getattr(t, "task_type", type(t).__name__),
        "outlets": lambda t: [a.name for a in t.outlets],
        "on_failure": lambda t: callbacks(t.on_failure_callback),
        "shown": lambda t: bool(getattr(t, "show_return_value_in_logs", False)),
    }
    params = ((k, dag.params.get_param(k)) for k in dag.params)
    return {
        "dag_id": dag.dag_id,
        "display_name": dag.dag_display_name,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "tags": sorted(dag.tags),
        "doc": dag.doc_md,
        "order": [task.task_id for task in dag.topological_sort()],
        "mapped": [t.task_id for t in dag.tasks if t.is_mapped],
        "edges": sorted([t.task_id, down] for t in dag.tasks for down in t.downstream_task_ids),
        **{name: {t.task_id: look(t) for t in dag.tasks} for name, look in per_task.items()},
        "timetable": type(dag.timetable).__name__,
        "cron": cron(dag.timetable),
        "assets": assets(getattr(dag.timetable, "asset_condition", None)),
        "deadlines": [seconds(d.interval) for d in (dag.deadline or ())],
        "params": {
            k: {
                "value": None if asked_for(p) else p.value,
                "required": asked_for(p),
                "schema": p.schema,
                "description": p.description,
                "fits": asked_for(p) or fits(p),
            }
            for k, p in params
        },
    }

print(json.dumps({
    "dags": {name: described(dag) for name, dag in dags.items()},
    "new_modules": new_modules,
    "files": files,
    "environment": sorted(set(asked)),
}))
"""


@functools.cache
def describe_file(file: Path) -> dict[str, Any]:
    """Every DAG of a file by id, and the modules, files and variables that parsing it touched."""
    # What is set here shows up wherever somebody lists all variables: that is no question for ours.
    ours = ("AIRFLOW__", "MAMMO_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-c", _DESCRIBE, str(file), str(file.parent)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    described: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return described


def describe(file: Path) -> dict[str, Any]:
    """The only DAG of a file."""
    found = describe_file(file)["dags"]
    assert len(found) == 1, f"{file.name} holds the DAGs {sorted(found)}, not one"
    only: dict[str, Any] = next(iter(found.values()))
    return only


def own_variables(asked: list[str]) -> list[str]:
    """Those environment variables that are this project's, not Python's or Airflow's."""
    return [name for name in asked if name.startswith(("MAMMO", "SKIP_DOCKER", "MLFLOW"))]
