"""The Airflow page as a person uses it: documentation, form, a wrong folder, readable logs."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from ml_tasks.local_stack.airflow_api import DagRun
from ml_tasks.local_stack.demo import DAG_ID
from tests.airflow.runs import PATIENCE, EndedRun
from tests.browser.conftest import Shot, starts_a_run
from tests.browser.patience import undisturbed
from tests.conftest import LocalAirflow


def test_the_documentation_is_one_click_away(
    window: BrowserContext, airflow: LocalAirflow, shot: Shot
) -> None:
    def read(page: Page) -> None:
        page.goto(f"{airflow.settings.url}/dags/{DAG_ID}")
        page.get_by_role("button", name="Dag Docs").click()
        text = page.get_by_role("dialog")
        expect(text).to_contain_text("Takes raw mammograms to a tested, pushed Docker image")
        expect(text).to_contain_text("A model that does not pass the gate is a normal outcome")
        shot(page, "documentation")
        page.get_by_role("button", name="Close").click()

    undisturbed(window, read)


def test_the_form_explains_its_fields_and_starts_the_run_it_describes(
    window: BrowserContext, airflow: LocalAirflow, sample_run: EndedRun, shot: Shot
) -> None:
    """Untouched fields must stay empty, or the page would silently overrule config.yaml."""
    before = {run.dag_run_id for run in airflow.api.runs(DAG_ID)}

    def started(page: Page) -> None:
        page.goto(f"{airflow.settings.url}/dags/{DAG_ID}")
        page.get_by_role("button", name="Trigger").first.click()
        _fill_in(page, shot)
        if {run.dag_run_id for run in airflow.api.runs(DAG_ID)} != before:
            return  # a try that got lost was taken
        form = page.get_by_role("dialog")
        with page.expect_response(starts_a_run):
            form.get_by_role("button", name="Trigger", exact=True).click()

    undisturbed(window, started)
    run = _new_run(airflow, before)
    given = {key: value for key, value in (run.conf or {}).items() if value is not None}
    assert given == {"data_dir": "/nowhere/at/all", "epochs": 2}

    def read(page: Page) -> None:
        _open_task(page, airflow, run.dag_run_id, "validate_data")
        words = "the data folder /nowhere/at/all does not exist"
        expect(page.locator("body")).to_contain_text(words)
        shot(page, "failed_validation")

    undisturbed(window, read)


@pytest.mark.parametrize(
    ("task", "words"), [("train", "epoch 3/3: loss"), ("gate", "PASSED the gate: accuracy")]
)
def test_the_log_of_a_task_reads_like_its_stage(
    window: BrowserContext,
    airflow: LocalAirflow,
    sample_run: EndedRun,
    shot: Shot,
    task: str,
    words: str,
) -> None:
    def read(page: Page) -> None:
        _open_task(page, airflow, sample_run.run.dag_run_id, task)
        expect(page.locator("body")).to_contain_text(words)
        shot(page, task)

    undisturbed(window, read)


def _fill_in(page: Page, shot: Shot) -> None:
    """Reads the open form and enters a folder that is not there, and epochs."""
    form = page.get_by_role("dialog")
    for title, description in {
        "Data directory": "Folder with one folder of images",
        "Pretrained weights": "DenseNet-121 weights file",
        "Epochs": "training stops early",
        "Batch size": "needs less memory",
        "Minimum accuracy": "from 0 to 1",
        "Push": "leave the registry and production alone",
    }.items():
        expect(form).to_contain_text(title)
        expect(form).to_contain_text(description)
    shot(page, "form")
    form.locator("input[name=element_data_dir]").fill("/nowhere/at/all")
    epochs = form.locator("input[name=element_epochs]")
    epochs.click()
    epochs.press_sequentially("2")
    epochs.press("Tab")


def _new_run(airflow: LocalAirflow, before: set[str]) -> DagRun:
    """The run that was not there before, once it has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for run in airflow.api.runs(DAG_ID):
            if run.dag_run_id not in before and run.ended:
                return run
        time.sleep(1)
    raise AssertionError("the page has started no run that ended")


def _open_task(page: Page, airflow: LocalAirflow, run_id: str, task: str) -> None:
    page.goto(f"{airflow.settings.url}/dags/{DAG_ID}/runs/{quote(run_id)}/tasks/{task}")
