"""A person is asked in a real Airflow: approves, rejects, thinks again, or says nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_tasks.config import save_config
from ml_tasks.config_operation import ApprovalConfig
from ml_tasks.records import Verdict
from ml_tasks.release.approval import Answer, ApprovalRecord, cleared
from ml_tasks.release.audit import Deed, read_audit
from ml_tasks.run_paths import RunPaths
from tests.conftest import LocalAirflow
from tests.toy_run import make_toy_run

DAG = "approval_only"
PATIENCE = 180  # seconds
SOON = 2 / 3600  # hours
Judged = Callable[[str, Verdict, float], RunPaths]


@pytest.fixture(scope="module")
def judged(airflow: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    """Makes a judged run where this Airflow's runs are, and starts the DAG on it."""
    airflow.api.wait_for_dag(DAG)
    airflow.api.pause(DAG, False)
    made: list[Path] = []

    def make(run_id: str, verdict: Verdict, hours: float = 1) -> RunPaths:
        toy = make_toy_run(tmp_path_factory.mktemp(run_id), run_id, verdict)
        run = RunPaths(airflow.config.paths.runs, run_id)
        made.append(shutil.copytree(toy.run.root, run.root))
        config = airflow.config.model_copy(update={"approval": ApprovalConfig(timeout_hours=hours)})
        save_config(config, run.config)
        airflow.api.trigger(DAG, {}, run_id)
        return run

    yield make
    for folder in made:
        shutil.rmtree(folder)


def states(airflow: LocalAirflow, run_id: str) -> dict[str, str | None]:
    return {task.task_id: task.state for task in airflow.api.tasks(DAG, run_id)}


def wait(airflow: LocalAirflow, run_id: str, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, f"{run_id}: {states(airflow, run_id)}"
        time.sleep(0.5)


def wait_until_asked(airflow: LocalAirflow, run_id: str) -> dict[str, Any]:
    wait(airflow, run_id, lambda: states(airflow, run_id)["approve"] == "awaiting_input")
    asked: dict[str, Any] = airflow.api.call("GET", question(run_id))
    return asked


def ended(airflow: LocalAirflow, run_id: str) -> dict[str, str | None]:
    wait(airflow, run_id, lambda: airflow.api.run(DAG, run_id).ended)
    return {"run": airflow.api.run(DAG, run_id).state, **states(airflow, run_id)}


def question(run_id: str) -> str:
    return f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"


def answer(airflow: LocalAirflow, run_id: str, option: str, reason: str) -> None:
    body = {"chosen_options": [option], "params_input": {"reason": reason}}
    airflow.api.call("PATCH", question(run_id), json=body)


def told(airflow: LocalAirflow, run_id: str) -> list[tuple[Deed, str, str]]:
    entries = read_audit(airflow.config.paths.releases)
    return [(each.deed, each.who, each.why) for each in entries if each.subject == run_id]


def last_words(airflow: LocalAirflow, run_id: str) -> str:
    (task,) = [one for one in airflow.api.tasks(DAG, run_id) if one.task_id == "approve"]
    return next(line.event for line in reversed(airflow.api.log(DAG, run_id, task)) if line.own)


def test_an_approval_is_answered_on_the_page_and_goes_on(
    airflow: LocalAirflow, judged: Judged
) -> None:
    run = judged("yes", Verdict.INCONCLUSIVE, 1)
    asked = wait_until_asked(airflow, "yes")
    assert asked["subject"] == "INCONCLUSIVE: shall the model of yes ship?"
    assert "| AUC | 0.950 [0.920, 0.980] |" in asked["body"]
    assert (asked["options"], asked["defaults"]) == (["Approve", "Reject"], ["Reject"])
    assert told(airflow, "yes") == [(Deed.ASKED, "pipeline", "")]
    assert not run.has(ApprovalRecord)
    answer(airflow, "yes", "Approve", "read every miss")
    assert ended(airflow, "yes") == {
        "run": "success",
        "approve": "success",
        "build_image": "success",
    }
    record = run.load(ApprovalRecord)
    assert (record.answer, record.who, record.why) == (
        Answer.APPROVED,
        airflow.api.user,
        "read every miss",
    )
    assert told(airflow, "yes")[1:] == [(Deed.APPROVED, airflow.api.user, "read every miss")]
    assert cleared(run, airflow.config, "nothing is built")[1] == record


def test_a_rejection_is_green_with_its_reason_and_cleared_it_asks_again(
    airflow: LocalAirflow, judged: Judged
) -> None:
    run = judged("no", Verdict.INCONCLUSIVE, 1)
    wait_until_asked(airflow, "no")
    answer(airflow, "no", "Reject", "misses small lesions")
    skipped = {"run": "success", "approve": "success", "build_image": "skipped"}
    assert ended(airflow, "no") == skipped
    assert last_words(airflow, "no").startswith(f"REJECTED by {airflow.api.user} on 20")
    assert last_words(airflow, "no").endswith(": misses small lesions")
    assert run.load(ApprovalRecord).answer is Answer.REJECTED
    again = {"dag_run_id": "no", "task_ids": ["approve"], "dry_run": False}
    again |= {"include_downstream": True, "only_failed": False, "reset_dag_runs": True}
    airflow.api.call("POST", f"/dags/{DAG}/clearTaskInstances", json=again)
    wait_until_asked(airflow, "no")
    answer(airflow, "no", "Approve", "")
    assert ended(airflow, "no")["approve"] in ("failed", "up_for_retry")
    assert "it gave no reason" in last_words(airflow, "no")
    airflow.api.call("POST", f"/dags/{DAG}/clearTaskInstances", json=again)
    wait_until_asked(airflow, "no")
    answer(airflow, "no", "Approve", "they were scars")
    assert ended(airflow, "no")["build_image"] == "success"
    deeds = [deed for deed, _, _ in told(airflow, "no")]
    ask = Deed.ASKED
    assert deeds == [ask, Deed.REJECTED, ask, Deed.UNCOUNTED, ask, Deed.APPROVED]


def test_no_answer_in_time_is_green_and_ships_nothing(
    airflow: LocalAirflow, judged: Judged
) -> None:
    run = judged("late", Verdict.INCONCLUSIVE, SOON)
    assert ended(airflow, "late") == {
        "run": "success",
        "approve": "success",
        "build_image": "skipped",
    }
    assert run.load(ApprovalRecord).answer is Answer.TIMED_OUT
    assert last_words(airflow, "late").startswith("NOT approved, which counts as rejected: nobody")
    assert [deed for deed, _, _ in told(airflow, "late")] == [Deed.ASKED, Deed.TIMED_OUT]


def test_nobody_waits_for_a_model_that_passed(airflow: LocalAirflow, judged: Judged) -> None:
    judged("passed", Verdict.PASS, 1)
    assert set(ended(airflow, "passed").values()) == {"success"}
    assert last_words(airflow, "passed").startswith("nobody need be asked: the gate passed")
    assert told(airflow, "passed") == []
