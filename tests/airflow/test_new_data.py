"""New data in a real Airflow: a flag, its snapshot, the run on it; notices of failure, lateness."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_tasks.config import load_config, save_config
from ml_tasks.dataset.phantoms import write_sample
from ml_tasks.dataset.raw_files import READY
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.local_stack.follow import TASKS
from ml_tasks.records import ChangesRecord, ValidationRecord
from tests.airflow.runs import PATIENCE, EndedRun, finish
from tests.conftest import LocalAirflow
from tests.dags.receivers import Received, webhook

NEW_DATA = "mammography_new_data"  # the DAG, and the asset


def test_the_same_again_is_skipped_as_unchanged_with_the_reason(
    sample_run: EndedRun, unchanged_run: EndedRun
) -> None:
    assert unchanged_run.run.state == "success"
    trained = TASKS[TASKS.index("check_changes") + 1 :]
    assert unchanged_run.states == {
        task: "skipped" if task in trained else "success" for task in TASKS
    }
    record = unchanged_run.paths.load(ChangesRecord)
    assert record.compared_with == sample_run.run.dag_run_id and record.changed == ()
    words = unchanged_run.last_words("check_changes")
    assert words.startswith("UNCHANGED") and "shipped" in words


@pytest.fixture(scope="module")
def notices(airflow: LocalAirflow) -> Iterator[Received]:
    """A web server that config.yaml and an Airflow connection name for notices."""
    path = airflow.settings.config
    before = path.read_text()
    with webhook() as received:
        body = {
            "connection_id": "notices",
            "conn_type": "http",
            "host": "127.0.0.1",
            "port": received.port,
        }
        airflow.api.call("POST", "/connections", json=body)
        save_config(load_config(path, {"notifications.connection": "notices"}), path)
        try:
            yield received
        finally:
            path.write_text(before)
            airflow.api.call("DELETE", "/connections/notices")


@dataclass(frozen=True)
class Announced:
    """A look that found a flag, its announcement, and the run that the event started.

    `later` is a run on the same announcement after one more film has come.
    """

    paused_look: dict[str, str | None]
    look: dict[str, str | None]
    raw: Path
    made: dict[str, Any]
    files: int
    run: EndedRun
    later: EndedRun


@pytest.fixture(scope="module")
def announced(airflow: LocalAirflow, notices: Received) -> Iterator[Announced]:
    """Films of too few patients, so that the runs end in validate_data."""
    raw = airflow.config.paths.raw
    write_sample(raw, patients=4)
    (raw / "metadata.csv").unlink()
    files = len(list(raw.glob("*/*.png")))
    (raw / READY).touch()
    airflow.api.wait_for_dag(DAG_ID, PATIENCE)
    airflow.api.wait_for_dag(NEW_DATA, PATIENCE)
    airflow.api.pause(DAG_ID)
    try:
        paused_look, _ = _look(airflow)
        airflow.api.pause(DAG_ID, False)
        seen = _ids(airflow)
        look, made = _look(airflow)
        run = _started(airflow, seen)
        shutil.copy(next((raw / "Positive").glob("*.png")), raw / "Positive" / "late.png")
        seen = _ids(airflow)
        extra = {key: value for key, value in made.items() if key != "flag"}
        airflow.api.post_asset_event(NEW_DATA, extra)
        later = _started(airflow, seen)
        yield Announced(paused_look, look, raw, made, files, run, later)
    finally:
        airflow.api.pause(NEW_DATA)
        airflow.api.pause(DAG_ID, False)
        shutil.rmtree(raw)


def _look(airflow: LocalAirflow) -> tuple[dict[str, str | None], Any]:
    """How the tasks of a look ended, and what it has announced."""
    airflow.api.pause(NEW_DATA, False)
    run = airflow.api.trigger(NEW_DATA, {}).dag_run_id
    _until(lambda: airflow.api.run(NEW_DATA, run).ended, f"{run} to end")
    airflow.api.pause(NEW_DATA)
    states = {task.task_id: task.state for task in airflow.api.tasks(NEW_DATA, run)}
    return states, airflow.api.xcom(NEW_DATA, run, "look") if states["look"] == "success" else None


def _ids(airflow: LocalAirflow) -> set[str]:
    return {run.dag_run_id for run in airflow.api.runs(DAG_ID)}


def _started(airflow: LocalAirflow, seen: set[str]) -> EndedRun:
    """The run that an event has started, once it has ended."""
    _until(lambda: _ids(airflow) - seen, "the event to start a run")
    return finish(airflow, next(iter(_ids(airflow) - seen)))


def _until(what: Callable[[], object], named: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {named}"
        time.sleep(0.5)


def test_a_flag_is_announced_and_then_taken(announced: Announced) -> None:
    assert announced.look == {"look": "success", "take_flag": "success"}
    assert announced.made["images"] == announced.files
    assert not (announced.raw / READY).exists()
    assert len(list(announced.raw.glob("_TAKEN-*"))) == 1
    assert announced.run.run.run_type == "asset_triggered"
    record = announced.run.paths.load(ValidationRecord)
    assert record.snapshot == Path(announced.made["snapshot"]).name
    assert record.raw == str(announced.raw)


def test_no_flag_is_taken_while_the_retraining_would_not_hear_of_it(announced: Announced) -> None:
    """Airflow makes no run of a paused DAG for an event, then or later."""
    assert announced.paused_look == {"look": "skipped", "take_flag": "skipped"}


def test_a_run_uses_exactly_the_snapshot(announced: Announced) -> None:
    """A film that came after the announcement is left for the next run."""
    records = [each.paths.load(ValidationRecord) for each in (announced.run, announced.later)]
    assert [each.images + each.quarantined for each in records] == [announced.files] * 2
    assert records[0].manifest_sha256 == records[1].manifest_sha256
    assert (announced.raw / "Positive" / "late.png").exists()
    text = announced.later.text("validate_data")
    assert f"exactly its {announced.files} images" in text
    assert "1 file(s) came after the snapshot" in text


def test_each_failure_is_told_once_without_details(announced: Announced, notices: Received) -> None:
    told = [post for post in notices.posts if post["event"] == "failure"]
    runs = [announced.run.run.dag_run_id, announced.later.run.dag_run_id]
    assert [post["run"] for post in told] == runs
    assert "validate_data failed (DataError)" in told[0]["text"]
    assert str(announced.raw) not in str(told)


def test_a_run_that_is_late_is_told(airflow: LocalAirflow, notices: Received) -> None:
    """Airflow runs the callback in a process of its own, where it must find the notifier."""
    airflow.api.wait_for_dag("late", PATIENCE)
    airflow.api.pause("late", False)
    run = airflow.api.trigger("late", {}).dag_run_id

    def told() -> list[dict[str, Any]]:
        return [post for post in notices.posts if post["event"] == "late"]

    try:
        _until(told, "the notice of a late run")
    finally:
        airflow.api.mark_run("late", run, "failed")
        airflow.api.pause("late")
    assert [(post["dag"], post["run"]) for post in told()] == [("late", run)]
    assert "has not come to its end by" in told()[0]["text"]
