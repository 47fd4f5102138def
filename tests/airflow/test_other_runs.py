"""Real films both ways, invalid data, new data announced, the form's refusals, the cron."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from ml_tasks.dataset.leakage import LeakageCertificate
from ml_tasks.dataset.manifest import ManifestRow, read_rows
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.local_stack.follow import TASKS
from ml_tasks.records import Decision, PlanRecord, ReleaseRecord, ValidationRecord
from tests.airflow.runs import PATIENCE, EndedRun
from tests.conftest import EVERY_MINUTE, LocalAirflow


def test_an_asset_event_starts_a_run_on_the_folder_that_it_names(
    refused_run: EndedRun, films: Path
) -> None:
    assert refused_run.run.run_type == "asset_triggered"
    record = refused_run.paths.load(ValidationRecord)
    assert record.raw == str(films)
    assert (record.images, record.patients, record.quarantined) == (322, 161, 0)


def test_a_model_that_fails_the_gate_is_a_green_run_with_reasons(refused_run: EndedRun) -> None:
    """One epoch without pretrained weights learns nothing: shipping it would hurt patients."""
    assert refused_run.run.state == "success"
    shipped = ("approve", "build_image", "smoke_test", "push_model")
    assert refused_run.states == {
        stage: "skipped" if stage in shipped else "success" for stage in TASKS
    }
    decision = refused_run.paths.load(Decision)
    assert not decision.passed
    assert refused_run.last_words("gate").startswith("FAILED the gate: ")
    assert "is below" in refused_run.last_words("gate")


def test_an_open_gate_takes_the_real_films_to_a_pushed_image(
    permitted_run: EndedRun, airflow: LocalAirflow, engine: Any
) -> None:
    assert permitted_run.states == dict.fromkeys((*TASKS, "preprocess.clean[1]"), "success")
    record = permitted_run.paths.load(ReleaseRecord)
    repository = f"{airflow.config.release.registry}/{airflow.config.release.image}"
    assert engine.images.get_registry_data(f"{repository}:production").id == record.digest
    # Only the release is new; the base is there from the run before.
    assert record.bytes_skipped > record.bytes_pushed


def test_the_films_were_cleaned_in_two_tasks_and_their_set_is_reported(
    permitted_run: EndedRun, sample_run: EndedRun
) -> None:
    plan = permitted_run.paths.load(PlanRecord)
    assert (plan.shards, plan.films) == (2, 322)
    shards = [permitted_run.text(f"preprocess.clean{name}") for name in ("", "[1]")]
    assert all("161" in text for text in shards)
    folder = permitted_run.paths.stage("preprocess")
    report = (folder / "report.html").read_text()
    assert "8 of 119 annotated lesions" in report
    assert "A high figure for what was removed" in report
    certificate = LeakageCertificate.model_validate_json((folder / "leakage.json").read_bytes())
    assert certificate.clean
    assert certificate.against_production == sample_run.paths.load(ReleaseRecord).version
    assert certificate.production_images > 0


def test_production_stayed_where_it_was_while_the_gate_said_no(
    sample_run: EndedRun, permitted_run: EndedRun
) -> None:
    before = permitted_run.paths.load(ReleaseRecord).production_before
    assert before == sample_run.paths.load(ReleaseRecord).digest


def test_data_that_fail_validation_fail_the_run_after_the_report(invalid_run: EndedRun) -> None:
    assert invalid_run.run.state == "failed"
    assert invalid_run.states == {
        stage: "failed" if stage == "validate_data" else "upstream_failed" for stage in TASKS
    }
    folder = invalid_run.paths.stage("validate_data")
    assert "twin.png" in (folder / "report.html").read_text()
    assert "notes.txt" in (folder / "report.html").read_text()
    assert (folder / "data_docs" / "index.html").exists()
    rows = read_rows(folder / "manifest.csv", ManifestRow)
    assert [row.path for row in rows if not row.usable] == ["Negative/notes.txt"]


def test_the_log_of_a_failed_validation_says_what_to_do(invalid_run: EndedRun) -> None:
    text = invalid_run.text("validate_data")
    assert "no picture appears under both classes" in text
    assert "Negative/twin.png" in text
    assert "mend the files and run again" in text


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("epochs", 0, "minimum"),
        ("epochs", "many", "not valid under any|not of type"),
        ("batch_size", 1, "minimum"),
        ("min_accuracy", 1.5, "maximum"),
        ("push", "perhaps", "not valid under any|not of type"),
        ("data_dir", "", "too short|non-empty"),
        ("weights", 3, "not valid under any|not of type"),
    ],
)
def test_a_bad_value_on_the_form_is_refused_with_the_reason(
    airflow: LocalAirflow, field: str, value: Any, reason: str
) -> None:
    airflow.api.wait_for_dag(DAG_ID, PATIENCE)
    answer = airflow.api.request(
        "POST", f"/dags/{DAG_ID}/dagRuns", json={"logical_date": None, "conf": {field: value}}
    )
    assert answer.status_code == 400
    detail = json.dumps(answer.json())
    assert field in detail
    assert any(word in detail for word in reason.split("|")), detail


def test_the_cron_starts_a_run_by_itself(airflow: LocalAirflow, sample_data: Path) -> None:
    """The weekly schedule, shortened to a minute, must fire without anybody's doing."""
    airflow.api.wait_for_dag(EVERY_MINUTE, PATIENCE)
    assert airflow.api.runs(EVERY_MINUTE) == []
    raw = airflow.config.paths.raw
    raw.symlink_to(sample_data)
    airflow.api.pause(EVERY_MINUTE, False)
    try:
        run_id, state = _first_scheduled(airflow)
        assert state == "success"
        airflow.api.mark_run(EVERY_MINUTE, run_id, "failed")
    finally:
        airflow.api.pause(EVERY_MINUTE)
        raw.unlink()


def _first_scheduled(airflow: LocalAirflow) -> tuple[str, str | None]:
    """The first run and how its validate_data ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for run in airflow.api.runs(EVERY_MINUTE):
            assert run.run_type == "scheduled"
            tasks = {task.task_id: task for task in airflow.api.tasks(EVERY_MINUTE, run.dag_run_id)}
            if tasks["validate_data"].ended:
                return run.dag_run_id, tasks["validate_data"].state
        time.sleep(1)
    raise AssertionError("the schedule has started no run whose data were looked at")


def test_switching_the_dag_on_runs_no_missed_monday(
    airflow: LocalAirflow, sample_run: EndedRun
) -> None:
    """Otherwise whoever unpauses the DAG starts a training that nobody asked for."""
    assert {run.run_type for run in airflow.api.runs(DAG_ID)} <= {"manual", "asset_triggered"}
