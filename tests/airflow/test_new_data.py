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
from ml_tasks.local_stack.airflow_api import DagRun
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.local_stack.follow import TASKS
from ml_tasks.records import ChangesRecord, ValidationRecord
from tests.airflow.runs import EndedRun, finish
from tests.conftest import LocalAirflow
from tests.dags.receivers import Received, webhook

NEW_DATA = "mammography_new_data"


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
    """A look that found a flag, the event that it made, and the run that the event started."""

    look: dict[str, str | None]
    raw: Path
    snapshot: dict[str, Any]
    files: int
    run: EndedRun


@pytest.fixture(scope="module")
def announced(airflow: LocalAirflow, notices: Received) -> Iterator[Announced]:
    """Films of too few patients, so that the run ends in validate_data; one more comes late."""
    raw = airflow.config.paths.raw
    write_sample(raw, patients=4)
    (raw / "metadata.csv").unlink()
    files = len(list(raw.glob("*/*.png")))
    (raw / READY).touch()
    before = {run.dag_run_id for run in airflow.api.runs(DAG_ID)}
    airflow.api.pause(DAG_ID)
    try:
        airflow.api.wait_for_dag(NEW_DATA)
        # It may also look by itself meanwhile: either way the flag is announced.
        airflow.api.pause(NEW_DATA, False)
        look = airflow.api.trigger(NEW_DATA, {}).dag_run_id
        _until(lambda: airflow.api.run(NEW_DATA, look).ended, f"{look} to end")
        airflow.api.pause(NEW_DATA)
        states = {t.task_id: t.state for t in airflow.api.tasks(NEW_DATA, look)}
        made = airflow.api.xcom(NEW_DATA, look, "look")
        shutil.copy(next((raw / "Positive").glob("*.png")), raw / "Positive" / "late.png")
        airflow.api.pause(DAG_ID, False)

        def new() -> list[DagRun]:
            return [r for r in airflow.api.runs(DAG_ID) if r.dag_run_id not in before]

        _until(new, "the event to start a run")
        yield Announced(states, raw, made, files, finish(airflow, new()[0].dag_run_id))
    finally:
        airflow.api.pause(NEW_DATA)
        airflow.api.pause(DAG_ID, False)
        shutil.rmtree(raw)


def _until(what: Callable[[], object], named: str) -> None:
    deadline = time.monotonic() + 180
    while not what():
        assert time.monotonic() < deadline, f"waited three minutes for {named}"
        time.sleep(0.5)


def test_a_flag_is_announced_and_then_taken(announced: Announced) -> None:
    assert announced.look == {"look": "success", "take_flag": "success"}
    assert announced.snapshot["images"] == announced.files
    assert not (announced.raw / READY).exists()
    assert len(list(announced.raw.glob("_TAKEN-*"))) == 1


def test_the_run_that_it_starts_uses_exactly_the_snapshot(announced: Announced) -> None:
    """A film that came after the announcement is left for the next run."""
    assert announced.run.run.run_type == "asset_triggered"
    record = announced.run.paths.load(ValidationRecord)
    assert record.snapshot == Path(announced.snapshot["snapshot"]).name
    assert record.raw == str(announced.raw)
    assert record.images + record.quarantined == announced.files
    assert (announced.raw / "Positive" / "late.png").exists()
    text = announced.run.text("validate_data")
    assert f"exactly its {announced.files} images" in text
    assert "1 file(s) came after the snapshot" in text


def test_its_failure_is_told_once_without_details(announced: Announced, notices: Received) -> None:
    told = [post for post in notices.posts if post["event"] == "failure"]
    assert [post["run"] for post in told] == [announced.run.run.dag_run_id]
    assert "validate_data failed (DataError)" in told[0]["text"]
    assert str(announced.raw) not in str(told)


def test_a_run_that_is_late_is_told(airflow: LocalAirflow, notices: Received) -> None:
    """Airflow runs the callback in a process of its own, where it must find the notifier."""
    airflow.api.wait_for_dag("late")
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
