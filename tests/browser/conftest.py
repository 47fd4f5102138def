"""A headless Chromium: logged in to the Airflow page, and on the page of a real service."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    Response,
    expect,
    sync_playwright,
)

from ml_tasks.local_stack.airflow import login
from ml_tasks.local_stack.demo import DAG_ID
from tests.airflow.runs import PATIENCE
from tests.browser.patience import PATIENCE_MS, undisturbed
from tests.browser.service_page import ServicePage, page_bundle
from tests.conftest import LocalAirflow, install, unavailable
from tests.serving.conftest import served, wait_for

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def chromium(machine: Path) -> str:
    """Debian's Chromium; where CI runs it is installed, elsewhere its lack skips the test."""
    if shutil.which("chromium") is None and os.environ.get("CI") and os.geteuid() == 0:
        install(machine, "chromium")
    found = shutil.which("chromium")
    if found is None:
        unavailable("needs the browser Chromium: apt-get install chromium")
    return found


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """One for these tests: a second one at a time is refused.

    It ends with them, since while it is there no other test can run an event loop.
    """
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def window(
    airflow: LocalAirflow,
    chromium: str,
    playwright: Playwright,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[BrowserContext]:
    """A browser that is logged in to Airflow; each step of a test opens a tab of its own."""
    airflow.api.wait_for_dag(DAG_ID, PATIENCE)
    profile = tmp_path_factory.mktemp("profile")
    context = playwright.chromium.launch_persistent_context(
        profile,
        executable_path=chromium,
        headless=True,
        args=list(FLAGS),
        viewport={"width": 1400, "height": 1000},
        timeout=PATIENCE_MS,
    )
    context.set_default_timeout(PATIENCE_MS)

    def enter(page: Page) -> None:
        log_in(page, f"{airflow.settings.url}/dags/{DAG_ID}", *login(airflow.settings))
        page.get_by_role("button", name="Trigger").first.wait_for()

    undisturbed(context, enter)
    yield context
    context.close()


def log_in(page: Page, address: str, user: str, password: str) -> None:
    """Through the form, which Airflow puts before the address."""
    page.context.clear_cookies()  # no form is shown where a login that got lost was taken
    page.goto(address)
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")


def starts_a_run(answer: Response) -> bool:
    """Whether it is the answer to the Trigger of Airflow's form."""
    return answer.request.method == "POST" and answer.url.endswith("/dagRuns")


@pytest.fixture(scope="package")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    """One browser for all tests of the service's page; each opens a tab of its own."""
    found = playwright.chromium.launch(
        executable_path=chromium, headless=True, args=list(FLAGS), timeout=PATIENCE_MS
    )
    yield found
    found.close()


@pytest.fixture(scope="package")
def toy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that brings everything the page shows."""
    return page_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="package")
def service_url(toy_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real service that is ready."""
    log = tmp_path_factory.mktemp("service") / "service.log"
    with served(toy_bundle, log) as (client, _):
        wait_for(client, "/ready", 200)
        yield str(client.base_url)


OpenTab = Callable[..., ServicePage]
Shot = Callable[[Page, str], None]


@pytest.fixture
def tab(browser: Browser, service_url: str) -> Iterator[OpenTab]:
    """Opens tabs on the page; at the end each is held to what the page promises."""
    tabs: list[ServicePage] = []

    def make(query: str = "", url: str = service_url, **options: Any) -> ServicePage:
        made = ServicePage(browser, url.rstrip("/"), **options)
        tabs.append(made)
        made.open(query)
        return made

    yield make
    for each in tabs:
        each.close()


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    """Takes a screenshot; MAMMO_SCREENSHOTS names a folder that keeps them."""
    folder = Path(os.environ.get("MAMMO_SCREENSHOTS") or tmp_path)

    def take(page: Page, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png")

    return take
