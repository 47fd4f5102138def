"""A viewer in a browser: logs in, reads, finds no way to trigger anything, logs out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tests.browser.conftest import FLAGS, chromium  # noqa: F401  # the fixture
from tests.browser.patience import PATIENCE_MS, undisturbed
from tests.deployment.access import DAG, Access
from tests.deployment.who_may import RUNS

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def window(chromium: str) -> Iterator[BrowserContext]:  # noqa: F811
    """In which each step of a test opens a tab of its own."""
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=chromium, headless=True, args=list(FLAGS), timeout=PATIENCE_MS
        )
        opened = browser.new_context(viewport={"width": 1400, "height": 1000})
        opened.set_default_timeout(PATIENCE_MS)
        yield opened
        browser.close()


def go(page: Page, access: Access, path: str) -> None:
    """Opens a page of Airflow's; logs in wherever it asks for that, as a person would."""
    page.goto(f"{access.settings.url}{path}")
    models = page.get_by_role("link", name="Models").first
    password = page.locator("input[name=password]")
    expect(models.or_(password).first).to_be_visible()
    if password.is_visible():
        page.fill("input[name=username]", "vera")
        page.fill("input[name=password]", access.passwords["vera"])
        page.keyboard.press("Enter")
        expect(models).to_be_visible()


def shot(page: Page, folder: Path, name: str) -> None:
    """MAMMO_SCREENSHOTS names a folder that keeps them."""
    folder = Path(os.environ.get("MAMMO_SCREENSHOTS") or folder)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


def test_a_viewer_finds_models_and_results(
    window: BrowserContext, access: Access, tmp_path: Path
) -> None:
    """Airflow gives its own Viewer no right to the list of plugins: the entry would be missing."""
    run_id = access.run("looked_at")

    def models_found(page: Page) -> None:
        go(page, access, "")
        page.get_by_role("link", name="Models").first.click()
        models = page.frame_locator("iframe[title='Models']")
        expect(models.get_by_role("heading", name="Models", exact=True)).to_be_visible()
        shot(page, tmp_path, "viewer_models")

    def results_found(page: Page) -> None:
        go(page, access, f"/dags/{DAG}/runs/{run_id}")
        expect(page.get_by_role("link", name="Results")).to_be_visible()

    undisturbed(window, models_found)
    undisturbed(window, results_found)


def test_what_a_viewer_triggers_does_not_run(
    window: BrowserContext, access: Access, tmp_path: Path
) -> None:
    """Airflow 3.3 shows the button to everybody; what counts is that nothing comes of it."""
    before = access.as_("alma").get(RUNS).json()["total_entries"]

    def refused(page: Page) -> None:
        go(page, access, f"/dags/{DAG}")
        expect(page.get_by_role("link", name="Models").first).to_be_visible()
        button = page.get_by_role("button", name="Trigger").first
        if button.count() and button.is_enabled():
            button.click()
            send = page.get_by_role("button", name="Trigger", exact=True).last
            with page.expect_response(lambda answer: answer.request.method == "POST") as told:
                send.click()
            assert told.value.status == 403
        shot(page, tmp_path, "viewer_trigger")

    undisturbed(window, refused)
    assert access.as_("alma").get(RUNS).json()["total_entries"] == before


def test_a_viewer_logs_out(window: BrowserContext, access: Access) -> None:
    def logged_out(page: Page) -> None:
        go(page, access, "")
        page.goto("about:blank")  # Airflow's page would go to the login by itself meanwhile
        page.goto(f"{access.settings.url}/api/v2/auth/logout")
        expect(page.locator("input[name=password]")).to_be_visible()
        page.goto(f"{access.settings.url}/mammography/models")
        expect(page.locator("body")).to_contain_text("Not authenticated")

    undisturbed(window, logged_out)
