"""The stack is destroyed and comes back from its backup: the last test of this folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ml_tasks.deployment import databases, stack
from ml_tasks.deployment.backup import back_up
from ml_tasks.deployment.restore import restore
from ml_tasks.deployment.settings_file import change_settings
from ml_tasks.deployment.streams import output_of
from tests.stack.conftest import Released
from tests.stack.quick_runs import until
from tests.stack.running_stack import PORTS, RUN_SECONDS, RunningStack
from tests.stack.tracked import tracked_runs

# What a new machine sets of its own; all else, every secret too, comes out of the archive.
OF_THE_MACHINE = (
    "COMPOSE_PROJECT_NAME", "MAMMO_SHARED", "MAMMO_PROFILES", "AIRFLOW_BASE_URL", *PORTS,
)  # fmt: skip
CONNECTION = ("airflow", "connections")
WAITING = "mammography_housekeeping"  # of a minute, on the queue of the builder


@dataclass(frozen=True)
class Seen:
    """What is to be the same afterwards."""

    runs: dict[str, str]  # of Airflow's database: run -> its state and its tasks'
    releases: dict[str, str]  # file -> hash
    production: dict[str, object]  # as the registry says it
    tracked: dict[str, float]  # MLflow's runs and their AUC
    artefacts: str
    served: str  # the version that answers


def look(running: RunningStack) -> Seen:
    """Asks every part of the stack."""
    compose = running.compose
    config = ["--config", "/mammo/config.yaml"]
    found = json.loads(compose.exec("worker", ["mammo", "releases", "--json", *config]))
    names = ["sh", "-c", "cd /opt/airflow/mlflow && find . -type f | sort"]
    return Seen(
        runs=runs_in_database(running),
        releases=files_of(running.shared / "releases"),
        production=found,
        tracked=tracked_runs(running),
        artefacts=compose.exec("mlflow", names),
        served=served_version(running),
    )


def runs_in_database(running: RunningStack) -> dict[str, str]:
    """Every run that has ended, with the states of its tasks."""
    words = (
        "SELECT r.run_id, r.state, string_agg(t.task_id || t.map_index || coalesce(t.state, ''), "
        "',' ORDER BY t.task_id, t.map_index) FROM dag_run r JOIN task_instance t "
        "USING (dag_id, run_id) WHERE r.state IN ('success', 'failed') GROUP BY 1, 2"
    )
    command = databases.inside(running.compose, "psql", "--dbname", "airflow", "-tAc", words)
    lines = b"".join(output_of(command, "listing the runs")).decode().splitlines()
    return {line.split("|")[0]: line for line in lines}


def files_of(folder: Path) -> dict[str, str]:
    """Every file's hash; what a writer was at when it was killed is nobody's, and in no backup."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".tmp", ".lock")
    }


def served_version(running: RunningStack) -> str:
    """Waits until the service answers, and gives the version that does."""
    deadline = time.monotonic() + RUN_SECONDS
    while True:
        try:
            answer = httpx.get(f"{running.url('SERVICE_PORT')}/ready", trust_env=False, timeout=10)
            if answer.status_code == 200:
                return str(answer.json()["model_version"])
            seen = answer.text
        except httpx.TransportError as error:
            seen = str(error)
        assert time.monotonic() < deadline, f"nothing serves: {seen}"
        time.sleep(1)


def queued_run(running: RunningStack) -> str:
    """A run whose first task waits in Redis for a worker, as a box may be off for days."""
    running.compose.output("stop", "builder")
    running.api.wait_for_dag(WAITING, RUN_SECONDS)
    running.api.pause(WAITING, False)
    run_id = running.api.trigger(WAITING, {}).dag_run_id
    until(lambda: "queued" in states(running, run_id), "a task to be queued")
    return run_id


def states(running: RunningStack, run_id: str) -> set[str | None]:
    return {task.state for task in running.api.tasks(WAITING, run_id)}


@pytest.mark.full  # `make test` restores a smaller stack: tests/deployment/test_restore.py
@pytest.mark.last
def test_a_destroyed_stack_comes_back_from_its_backup(
    released: Released, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs, releases, audit log, registry, MLflow, connections and the service, as they were."""
    running, said = released.stack, list[str]()
    compose, project = running.compose, running.project
    add = [*CONNECTION, "add", "kept", "--conn-uri", "http://user:fernet-secret@host"]
    compose.exec("scheduler", add)
    before = look(running)
    assert released.run.dag_run_id in before.runs
    assert before.tracked and before.artefacts
    own = {name: compose.settings[name] for name in OF_THE_MACHINE if name in compose.settings}
    waiting = queued_run(running)
    kept = back_up(project, tmp_path, said.append)

    stack.down(project, said.append)
    compose.output("down", "--volumes", "--remove-orphans")
    for path in running.shared.iterdir():  # the folder may be a mounted disk
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (project / ".env").unlink()
    change_settings(project, own)

    restore(project, kept.path, said.append)
    assert stack.stack(project).settings == compose.settings, "a secret is another"
    after = look(running)
    assert before.runs.items() <= after.runs.items()
    assert after.releases == before.releases
    assert after.production == before.production
    assert after.tracked == before.tracked
    assert after.artefacts == before.artefacts
    assert after.served == before.served
    told = compose.exec("scheduler", [*CONNECTION, "get", "kept", "--output", "json"])
    assert "fernet-secret" in told, "the Fernet key is another"
    assert (running.paths(released.run.dag_run_id).root / "evaluate").is_dir()
    until(lambda: running.api.run(WAITING, waiting).ended, "what was queued to end")
    assert running.api.run(WAITING, waiting).state == "success"
    with capsys.disabled():
        print("\n".join(["", *said]))  # noqa: T201
