"""A person decides in a real browser: finds the question, reads it, approves or rejects."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Response, expect

from ml_tasks.records import Verdict
from ml_tasks.release.approval import Answer, ApprovalRecord
from tests.airflow.questions import Judged, ended, question, wait_until_asked
from tests.browser.patience import undisturbed
from tests.conftest import LocalAirflow


def _answer(
    window: BrowserContext, airflow: LocalAirflow, run_id: str, option: str, why: str, shot: Path
) -> None:
    """Opens the question of a run from the list of required actions, reads and answers it."""
    wait_until_asked(airflow, run_id)

    def answered(page: Page) -> None:
        if airflow.api.call("GET", question(run_id))["response_received"]:
            return  # a try that got lost was taken
        page.goto(f"{airflow.settings.url}/required_actions")
        page.get_by_role("link", name=f"the model of {run_id} ship").first.click()
        expect(page.get_by_text("0.950 [0.920, 0.980]")).to_be_visible()
        page.locator("[name=element_reason]").fill(why)
        page.screenshot(path=shot / "asked.png", full_page=True)
        with page.expect_response(_takes_an_answer):
            page.get_by_role("button", name=option, exact=True).click()

    undisturbed(window, answered)


def _takes_an_answer(response: Response) -> bool:
    return response.request.method == "PATCH" and response.url.endswith("/hitlDetails")


def test_a_model_is_approved_with_a_reason(
    window: BrowserContext, airflow: LocalAirflow, judged: Judged, tmp_path: Path
) -> None:
    run = judged("clicked-yes", Verdict.INCONCLUSIVE, 1)
    _answer(window, airflow, "clicked-yes", "Approve", "read every miss", tmp_path)
    assert ended(airflow, "clicked-yes")["build_image"] == "success"
    record = run.load(ApprovalRecord)
    assert (record.answer, record.who, record.why) == (
        Answer.APPROVED,
        airflow.api.user,
        "read every miss",
    )


def test_a_model_is_rejected(
    window: BrowserContext, airflow: LocalAirflow, judged: Judged, tmp_path: Path
) -> None:
    run = judged("clicked-no", Verdict.INCONCLUSIVE, 1)
    _answer(window, airflow, "clicked-no", "Reject", "misses small lesions", tmp_path)
    assert ended(airflow, "clicked-no")["build_image"] == "skipped"
    assert run.load(ApprovalRecord).answer is Answer.REJECTED
