"""The pages inside Airflow's own page: reached by clicks, read, and the way back filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    FrameLocator,
    Page,
    Playwright,
    expect,
)

from ml_tasks.local_stack.demo import DAG_ID
from tests.browser.conftest import FLAGS, Shot, log_in, starts_a_run
from tests.browser.patience import CHANGED, PATIENCE_MS, undisturbed
from tests.browser.toy_airflow import HAS_ROLLBACK, ToyAirflow, toy_airflow
from tests.pages.toy_project import FAILED, NEWER, REJECTED
from tests.waiting import until

pytestmark = pytest.mark.airflow
FAILURE = "FAILED the gate: AUC 0.710 [0.660, 0.760] is below 0.80"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAirflow]:
    with toy_airflow(tmp_path_factory.mktemp("toy_airflow")) as started:
        yield started


@pytest.fixture(scope="module")
def window(
    toy: ToyAirflow,
    chromium: str,
    playwright: Playwright,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[BrowserContext]:
    """A browser that is logged in; each step of a test opens a tab of its own."""
    context = playwright.chromium.launch_persistent_context(
        tmp_path_factory.mktemp("profile"),
        executable_path=chromium,
        headless=True,
        args=list(FLAGS),
        viewport={"width": 1400, "height": 1000},
        timeout=PATIENCE_MS,
    )
    context.set_default_timeout(PATIENCE_MS)

    def enter(tab: Page) -> None:
        log_in(tab, toy.url, toy.user, toy.password)
        tab.get_by_role("link", name="Dags").first.wait_for()

    undisturbed(context, enter)
    yield context
    context.close()


def inside(page: Page, title: str) -> FrameLocator:
    """Our page in the frame that Airflow puts it in."""
    return page.frame_locator(f"iframe[title='{title}']")


def to_run(toy: ToyAirflow, run_id: str, task: str = "") -> str:
    steps = f"/tasks/{task}" if task else ""
    return f"{toy.url}/dags/{DAG_ID}/runs/{quote(run_id, safe='')}{steps}"


def test_models_is_an_entry_of_the_navigation(
    window: BrowserContext, toy: ToyAirflow, shot: Shot
) -> None:
    def entered(tab: Page) -> None:
        tab.goto(toy.url)
        tab.get_by_role("link", name="Models").first.click()
        models = inside(tab, "Models")
        expect(models.get_by_role("heading", name="Models", exact=True)).to_be_visible()
        expect(models.locator("body")).to_contain_text(FAILURE)
        expect(models.locator("body")).to_contain_text("Rejected by jane")
        expect(models.get_by_role("article")).to_have_count(5)
        shot(tab, "models")

    undisturbed(window, entered)


def test_what_a_user_needs_is_two_clicks_away(
    window: BrowserContext, toy: ToyAirflow, shot: Shot
) -> None:
    """One on Models, one on a link of the model in question."""
    version = toy.project.versions[1]

    def reached(tab: Page, name: str, words: str) -> None:
        tab.goto(f"{toy.url}/plugin/models")
        models = inside(tab, "Models")
        row = models.get_by_role("article", name=version)
        row.get_by_role("link", name=name, exact=True).click()
        expect(models.get_by_role("heading", name="Models", exact=True)).to_have_count(0)
        expect(models.locator("body")).to_contain_text(words)
        if name == "Run":
            shot(tab, "run")

    for name, words in {
        "Release": "memory is 212.5 MB",
        "Model card": "Research use; not a diagnosis",
        "Why (not) shipped": "Why shipped",
        "Report": "Evaluation report",
        "Data report": "Data report",
        "Data Docs": "Data Docs",
        "Contact sheets": "Cleaned set",
        "Run": "shipped localhost:1/mammography-toy",
    }.items():
        undisturbed(window, partial(reached, name=name, words=words))


def test_a_link_that_leaves_takes_the_whole_window(window: BrowserContext, toy: ToyAirflow) -> None:
    """The frame may not do so by itself; Airflow within Airflow would be the result."""

    def left(tab: Page) -> None:
        tab.goto(f"{toy.url}/plugin/models")
        inside(tab, "Models").get_by_role("link", name="Retraining").click()
        tab.wait_for_url(f"{toy.url}/dags/{DAG_ID}")

    undisturbed(window, left)


@pytest.mark.parametrize(
    ("task", "button", "words"),
    [
        ("validate_data", "Data report", "Data report"),
        ("validate_data", "Data Docs", "Data Docs"),
        ("preprocess.assemble", "Contact sheets", "Cleaned set"),
        ("evaluate", "Report", "Evaluation report"),
        ("gate", "Why (not) shipped", FAILURE),
        ("push_model", "Release", "Why not shipped"),
    ],
)
def test_each_task_has_its_button_and_its_tab(
    window: BrowserContext, toy: ToyAirflow, shot: Shot, task: str, button: str, words: str
) -> None:
    def by_button(tab: Page) -> None:
        # Where Airflow shows its extra links.
        tab.goto(to_run(toy, FAILED, task) + "/details")
        tab.get_by_role("link", name=button, exact=True).click()
        expect(inside(tab, "Models").locator("body")).to_contain_text(words)

    def by_tab(tab: Page) -> None:
        tab.goto(to_run(toy, FAILED, task))
        tab.get_by_role("link", name="Results").click()
        expect(inside(tab, "Results").locator("body")).to_contain_text(words)
        shot(tab, f"task_{task}")

    undisturbed(window, by_button)
    if button != "Data Docs":  # the tab leads to the report, which every browser can read
        undisturbed(window, by_tab)


def test_a_task_has_no_button_of_another(toy: ToyAirflow) -> None:
    run = f"/dags/{DAG_ID}/dagRuns/{quote(FAILED, safe='')}/taskInstances"
    for task, names in {
        "gate": {"Why (not) shipped"},
        "train": {"Live curves"},
        "build_image": set(),
        "preprocess.plan": {"Leakage certificate"},
    }.items():
        told = toy.api.call("GET", f"{run}/{task}/links")["extra_links"]
        assert {name for name, address in told.items() if address} == names


def test_the_tab_of_a_run_says_in_one_line_what_happened(
    window: BrowserContext, toy: ToyAirflow, shot: Shot
) -> None:
    def told(tab: Page, run_id: str, words: str) -> None:
        tab.goto(to_run(toy, run_id))
        tab.get_by_role("link", name="Results").click()
        expect(inside(tab, "Results").locator(".lead")).to_contain_text(words)
        shot(tab, "run_tab")

    for run_id, words in ((FAILED, FAILURE), (REJECTED, "Rejected by jane"), (NEWER, "shipped")):
        undisturbed(window, partial(told, run_id=run_id, words=words))


def test_the_curves_stand_in_the_page_for_that_run_alone(
    window: BrowserContext, toy: ToyAirflow, shot: Shot
) -> None:
    folder, other = (toy.project.run(run_id).root.name for run_id in (FAILED, NEWER))

    def drawn(tab: Page) -> None:
        tab.goto(to_run(toy, FAILED, "train") + "/details")
        tab.get_by_role("link", name="Live curves", exact=True).click()
        board = inside(tab, "Models")
        expect(board.get_by_text("epoch_loss").first).to_be_visible()
        expect(board.locator("body")).to_contain_text(f"{folder}/logs/train")
        expect(board.locator("body")).not_to_contain_text(f"{other}/logs/train")
        shot(tab, "curves")

    undisturbed(window, drawn)


@pytest.mark.skipif(not HAS_ROLLBACK, reason="the DAG mammography_rollback is not there")
def test_rolling_back_opens_airflows_form_filled_in(
    window: BrowserContext, toy: ToyAirflow, shot: Shot
) -> None:
    """Nothing moves by the click: the person says why and presses Trigger."""
    version = toy.project.versions[0]

    def filled_in(tab: Page) -> None:
        tab.goto(f"{toy.url}/plugin/models")
        inside(tab, "Models").get_by_role("link", name=f"Roll back to {version}").click()
        tab.wait_for_url(f"{toy.url}/mammography/releases/{version}/rollback")
        form = tab.frame_locator("#form")
        expect(form.locator("input[name=element_version]")).to_have_value(version)
        expect(tab.locator("#said")).to_contain_text("Filled in")
        shot(tab, "rollback_form")

    def triggered(tab: Page) -> None:
        filled_in(tab)
        form = tab.frame_locator("#form")
        form.locator("input[name=element_reason]").fill("answers were wrong")
        if not toy.api.runs("mammography_rollback"):  # else a try that got lost was taken
            with tab.expect_response(starts_a_run):
                form.get_by_role("button", name="Trigger", exact=True).last.click()

    undisturbed(window, filled_in)
    assert toy.api.runs("mammography_rollback") == []
    undisturbed(window, triggered)
    until(lambda: toy.api.runs("mammography_rollback"), "the form has started no run")
    (run,) = toy.api.runs("mammography_rollback")
    assert {key: (run.conf or {})[key] for key in ("version", "reason")} == {
        "version": version,
        "reason": "answers were wrong",
    }


@pytest.mark.parametrize("path", ["models", "audit", "drift", "scoring"])
@pytest.mark.parametrize("width", [390, 1400])
def test_pages_are_readable_by_everyone_on_anything(
    window: BrowserContext, toy: ToyAirflow, shot: Shot, path: str, width: int
) -> None:
    """No finding of axe, nothing wider than a phone, and no complaint about the page's policy."""
    complaints: list[str] = []

    def note(line: ConsoleMessage) -> None:
        if line.type == "error":
            complaints.append(line.text)

    def read(tab: Page) -> None:
        complaints.clear()
        tab.on("console", note)
        tab.set_viewport_size({"width": width, "height": 900})
        tab.goto(f"{toy.url}/mammography/{path}")
        found = Axe().run(tab)
        assert found.violations_count == 0, found.generate_report()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        shot(tab, f"{path}_{width}")

    undisturbed(window, read)
    assert [line for line in complaints if not re.search(f"favicon|{CHANGED}", line)] == []
