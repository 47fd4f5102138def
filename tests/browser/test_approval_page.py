"""A person decides in a real browser: finds the question, reads it, approves or rejects."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from ml_tasks.records import Verdict
from ml_tasks.release.approval import Answer, ApprovalRecord
from ml_tasks.run_paths import RunPaths
from tests.airflow.questions import Judged, ended, wait_until_asked
from tests.browser.patience import patient_goto
from tests.conftest import LocalAirflow


def _asked(page: Page, airflow: LocalAirflow, judged: Judged, run_id: str) -> RunPaths:
    """The question of a run that cannot be told, opened from the list of required actions."""
    run = judged(run_id, Verdict.INCONCLUSIVE, 1)
    wait_until_asked(airflow, run_id)
    patient_goto(page, f"{airflow.settings.url}/required_actions")
    page.get_by_role("link", name=f"the model of {run_id} ship").first.click()
    expect(page.get_by_text("0.950 [0.920, 0.980]")).to_be_visible()
    return run


def test_a_model_is_approved_with_a_reason(
    page: Page, airflow: LocalAirflow, judged: Judged, tmp_path: Path
) -> None:
    run = _asked(page, airflow, judged, "clicked-yes")
    page.locator("[name=element_reason]").fill("read every miss")
    page.screenshot(path=tmp_path / "asked.png", full_page=True)
    page.get_by_role("button", name="Approve", exact=True).click()
    assert ended(airflow, "clicked-yes")["build_image"] == "success"
    record = run.load(ApprovalRecord)
    assert (record.answer, record.who, record.why) == (
        Answer.APPROVED,
        airflow.api.user,
        "read every miss",
    )


def test_a_model_is_rejected(page: Page, airflow: LocalAirflow, judged: Judged) -> None:
    run = _asked(page, airflow, judged, "clicked-no")
    page.locator("[name=element_reason]").fill("misses small lesions")
    page.get_by_role("button", name="Reject", exact=True).click()
    assert ended(airflow, "clicked-no")["build_image"] == "skipped"
    assert run.load(ApprovalRecord).answer is Answer.REJECTED
