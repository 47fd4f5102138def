"""A person is asked in a real Airflow: approves, rejects, thinks again, or says nothing."""

from __future__ import annotations

from ml_tasks.local_stack.airflow_api import LogLine
from ml_tasks.records import Verdict
from ml_tasks.release.approval import Answer, ApprovalRecord, cleared
from ml_tasks.release.audit import Deed, read_audit
from tests.airflow.questions import DAG, Judged, answer, ended, wait_until_asked
from tests.conftest import LocalAirflow

# Hours. Long enough that the scheduler has seen the asking end, on a busy machine too: see
# `wait_until_asked`.
SOON = 90 / 3600


def told(airflow: LocalAirflow, run_id: str) -> list[tuple[Deed, str, str]]:
    entries = read_audit(airflow.config.paths.releases)
    return [(each.deed, each.who, each.why) for each in entries if each.subject == run_id]


def log_of(airflow: LocalAirflow, run_id: str) -> list[LogLine]:
    (task,) = [one for one in airflow.api.tasks(DAG, run_id) if one.task_id == "approve"]
    return airflow.api.log(DAG, run_id, task)


def last_words(airflow: LocalAirflow, run_id: str) -> str:
    return next(line.event for line in reversed(log_of(airflow, run_id)) if line.own)


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
    wait_until_asked(airflow, "no", times=3)
    answer(airflow, "no", "Approve", "")
    assert ended(airflow, "no")["approve"] in ("failed", "up_for_retry")
    assert any("it gave no reason" in line.event for line in log_of(airflow, "no") if line.own)
    airflow.api.call("POST", f"/dags/{DAG}/clearTaskInstances", json=again)
    wait_until_asked(airflow, "no", times=5)
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
