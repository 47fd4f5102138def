"""The drift DAG in a real scheduler: drift starts one retraining, however often it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_tasks.config import save_config
from ml_tasks.local_stack.airflow_api import LogLine
from ml_tasks.local_stack.demo import DAG_ID as RETRAINING
from ml_tasks.release.audit import Deed, note, read_audit
from tests.airflow.runs import PATIENCE, EndedRun, finish
from tests.conftest import LocalAirflow
from tests.monitoring.service_images import DARKER, Scene, lines, make_scene, write_lines

DAG_ID = "mammography_drift"


@pytest.fixture(scope="module")
def scene(airflow: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A release whose service sees darker films; Airflow's settings lead there meanwhile.

    The retraining that drift starts ends in validate_data: there are no data.
    """
    made = make_scene(tmp_path_factory.mktemp("watched"), reference=600)
    at = datetime.now(UTC) - timedelta(hours=2)
    write_lines(made.config.paths.statistics, lines(made.version, 300, moved=DARKER, at=at))
    path = airflow.settings.config
    before = path.read_text()
    airflow.api.wait_for_dag(DAG_ID, PATIENCE)
    airflow.api.wait_for_dag(RETRAINING, PATIENCE)
    paused = airflow.api.call("GET", f"/dags/{RETRAINING}")["is_paused"]
    airflow.api.pause(RETRAINING)
    airflow.api.pause(DAG_ID, False)
    save_config(made.config, path)
    try:
        yield made
    finally:
        path.write_text(before)
        airflow.api.pause(DAG_ID)
        airflow.api.pause(RETRAINING, paused)


Watched = tuple[dict[str, str | None], str]  # the states of a run's tasks, and its log


@dataclass(frozen=True)
class Ran:
    """Runs of the drift DAG: in the cooldown, and two without one; what their events started."""

    watched: tuple[Watched, ...]
    retrainings: list[EndedRun]


@pytest.fixture(scope="module")
def unheard(scene: Scene, airflow: LocalAirflow) -> Watched:
    """A run while the retraining is paused."""
    found = run(airflow)
    assert events(airflow) == [], "the event would be lost"
    airflow.api.pause(RETRAINING, False)
    return found


@pytest.fixture(scope="module")
def ran(scene: Scene, airflow: LocalAirflow, unheard: Watched) -> Ran:
    """A run in the cooldown, then two without one."""
    _past_midnight()
    note(scene.config.paths.releases, Deed.RETRAINING_STARTED, "an earlier release")
    held = run(airflow)
    assert events(airflow) == [], "in the cooldown nothing is asked for"
    no_cooldown = scene.config.drift.model_copy(update={"cooldown_days": 0})
    save_config(scene.config.model_copy(update={"drift": no_cooldown}), airflow.settings.config)
    before = retrainings(airflow)
    found = [run(airflow), run(airflow)]
    deadline = time.monotonic() + PATIENCE
    while not (begun := [each for each in retrainings(airflow) if each not in before]):
        assert time.monotonic() < deadline, "the event started no retraining"
        time.sleep(1)
    # Waited for: config.yaml leads back to real data afterwards.
    return Ran((held, *found), [finish(airflow, run_id) for run_id in begun])


def _past_midnight() -> None:
    """Each day asks for a retraining of its own: one must not end between two of the runs."""
    now = datetime.now(UTC)
    left = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC) - now
    if left < timedelta(minutes=10):
        time.sleep(left.total_seconds() + 1)


def retrainings(airflow: LocalAirflow) -> list[str]:
    """All runs of the retraining."""
    return [each.dag_run_id for each in airflow.api.runs(RETRAINING)]


def run(airflow: LocalAirflow) -> Watched:
    run_id = airflow.api.trigger(DAG_ID, {"retrain": True}).dag_run_id
    deadline = time.monotonic() + PATIENCE
    while not (found := airflow.api.run(DAG_ID, run_id)).ended:
        assert time.monotonic() < deadline, f"{run_id} is still {found.state}"
        time.sleep(1)
    tasks = airflow.api.tasks(DAG_ID, run_id)
    logs: list[LogLine] = [line for t in tasks for line in airflow.api.log(DAG_ID, run_id, t)]
    assert found.state == "success", "\n".join(map(str, logs))
    return {task.task_id: task.state for task in tasks}, "\n".join(map(str, logs))


def events(airflow: LocalAirflow) -> list[dict[str, Any]]:
    found = airflow.api.call("GET", "/assets/events", params={"source_dag_id": DAG_ID})
    return list(found["asset_events"])


def test_drift_asks_for_one_retraining_however_often_it_runs(
    ran: Ran, scene: Scene, airflow: LocalAirflow
) -> None:
    (held, why), (first, log), (second, again) = ran.watched
    assert held == {"compare": "success", "suggest": "success", "ask_for_retraining": "skipped"}
    assert "drift seen, but retraining started on" in why and "; next on" in why
    assert first == dict.fromkeys(("compare", "suggest", "ask_for_retraining"), "success")
    assert second == {**first, "ask_for_retraining": "skipped"}
    (event,) = events(airflow)
    assert event["source_task_id"] == "ask_for_retraining"
    assert event["extra"]["version"] == scene.version
    assert event["extra"]["reason"].startswith("DRIFT: 5 of 10 figures of the pictures (mean, ")
    assert Path(event["extra"]["report"]).is_file()
    assert [entry.deed for entry in read_audit(scene.config.paths.releases)] == [
        Deed.RETRAINING_SUGGESTED,  # while the retraining was paused
        Deed.RETRAINING_STARTED,  # the earlier one
        Deed.RETRAINING_STARTED,
    ]
    assert "a retraining is asked for: DRIFT: 5 of 10 figures" in log
    assert "it is asked for once" in again


def test_drift_starts_nothing_that_a_paused_retraining_would_not_hear(unheard: Watched) -> None:
    states, log = unheard
    assert states == {"compare": "success", "suggest": "success", "ask_for_retraining": "skipped"}
    assert "a retraining is suggested: DRIFT: " in log
    assert f"the DAG {RETRAINING} is paused and would not hear of it" in log


def test_the_retraining_starts_and_says_why(ran: Ran) -> None:
    (one,) = ran.retrainings
    assert one.run.run_type == "asset_triggered"
    assert "started because DRIFT: 5 of 10 figures" in one.text("validate_data")


def test_the_log_holds_the_reason_and_no_noise(ran: Ran) -> None:
    for noise in ("Warning", "deprecated", "\x1b", "telemetry"):
        assert noise not in ran.watched[0][1], noise
