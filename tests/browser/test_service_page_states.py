"""The service's page when things are not as they should be, and on small or dark screens."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Request, Route, expect

from tests.browser.conftest import OpenTab
from tests.browser.service_page import film, text_file
from tests.serving.conftest import LIMIT, served, wait_for

KEY = "a-key-of-the-tests"
NOT_READY = {"error": "not_ready", "detail": "the model is being loaded"}
BUSY = {"error": "busy", "detail": "the queue is full"}


@pytest.fixture(scope="module")
def guarded_url(toy_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real service that wants a key."""
    log = tmp_path_factory.mktemp("guarded") / "service.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMO_API_KEY", KEY)
        with served(toy_bundle, log) as (client, _):
            wait_for(client, "/ready", 200)
            yield str(client.base_url)


def test_a_service_with_a_key_asks_for_it_and_the_film_waits(
    tab: OpenTab, guarded_url: str
) -> None:
    opened = tab(url=guarded_url)
    page = opened.page
    field = page.get_by_label("API key")
    expect(field).to_be_visible()
    opened.choose(film("film.png"))
    expect(opened.card("film.png")).to_contain_text("Waits for the key.")
    expect(page.locator("#model")).to_contain_text("The model’s description needs the key.")
    opened.check_access()
    for wrong in ("not the key", "clé"):
        field.fill(wrong)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert").filter(has_text="did not accept")).to_be_visible()
        expect(field).to_be_focused()
        expect(field).to_have_value("")
    opened.check_access()
    field.fill(KEY)
    page.keyboard.press("Enter")
    opened.answered()
    expect(field).to_be_hidden()
    expect(page.locator("#model")).to_contain_text("100 test patients")
    opened.open()  # nothing was stored
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_film_waits_until_the_model_is_loaded(tab: OpenTab, toy_bundle: Path) -> None:
    """Answers of /ready are held back at the browser: a toy model loads too fast to be seen."""
    opened = tab()
    page = opened.page
    page.route("**/ready", lambda route: route.fulfill(status=503, json=NOT_READY))
    opened.open()
    expect(page.get_by_role("alert").filter(has_text="The model is being loaded.")).to_be_visible()
    opened.choose(film("film.png"))
    expect(opened.card("film.png")).to_contain_text("Waits until the service is ready.")
    opened.check_access()
    page.unroute("**/ready")
    opened.answered()
    expect(page.get_by_text("Ready 2026")).to_be_visible()


def test_a_broken_release_is_named(tab: OpenTab, toy_bundle: Path, tmp_path: Path) -> None:
    with served(tmp_path / "nowhere", tmp_path / "log") as (client, _):
        opened = tab(url=str(client.base_url))
        alert = opened.page.get_by_role("alert").filter(has_text="its release is broken")
        expect(alert).to_contain_text("nowhere")
        opened.check_access()


def test_a_full_queue_is_waited_for_as_long_as_it_says(tab: OpenTab) -> None:
    opened = tab()
    page, asked = opened.page, []

    def once_busy(route: Route, request: Request) -> None:
        asked.append(time.monotonic())
        if len(asked) > 1:
            route.continue_()
        else:
            route.fulfill(status=503, json=BUSY, headers={"retry-after": "5"})

    page.route("**/v1/predict*", once_busy)
    opened.choose(film("film.png"))
    said = re.compile(r"The service is busy\. Next try in [1-5] seconds?\.")
    expect(opened.card("film.png")).to_contain_text(said)
    expect(page.get_by_role("log")).to_contain_text("The service is busy; the page tries again.")
    opened.answered()
    first, second, *_ = asked  # more where the network changed meanwhile
    assert second - first > 4.9


def test_without_a_network_films_wait_and_go_on_when_it_is_back(tab: OpenTab) -> None:
    opened = tab()
    page = opened.page
    expect(page.get_by_text("Ready 2026")).to_be_visible()
    opened.context.set_offline(True)
    opened.choose(film("film.png"))
    expect(
        page.get_by_role("alert").filter(has_text="The service does not answer.")
    ).to_be_visible()
    expect(opened.card("film.png")).to_contain_text("Waits until the service is ready.")
    opened.check_access()
    opened.context.set_offline(False)
    opened.answered()
    expect(page.get_by_text("The service does not answer.")).to_have_count(0)


def test_a_file_over_the_limit_is_refused_and_the_next_one_answered(tab: OpenTab) -> None:
    opened = tab()
    large = film("large.png")
    large["buffer"] = bytes(LIMIT + 1_000_000)
    opened.choose(large, film("film.png"))
    opened.answered()
    refused = opened.card("large.png")
    expect(refused).to_have_class("card refused")
    # The service hangs up on a body that it will not read: a browser may never see its answer.
    expect(refused).to_contain_text(re.compile("is too large|may be larger than the service takes"))


def test_results_of_a_model_that_no_longer_serves_are_marked(tab: OpenTab) -> None:
    """After a release or a rollback, old and new results must not be taken for one model's."""
    opened = tab()
    opened.choose(film("film.png"))
    opened.answered()
    other = {"status": "ready", "model_version": "20270101T000000Z-000000000000"}
    opened.page.route("**/ready", lambda route: route.fulfill(json=other))
    opened.page.evaluate("dispatchEvent(new Event('online'))")  # asks at once
    expect(
        opened.page.get_by_role("status").filter(has_text="The model has changed")
    ).to_be_visible()
    opened.check_access()


def test_an_answer_that_lacks_half_is_no_answer(tab: OpenTab) -> None:
    opened = tab()
    half = {"model_version": "x", "notice": "y", "results": [{"status": "answered"}]}
    opened.page.route("**/v1/predict*", lambda route: route.fulfill(json=half))
    opened.choose(film("film.png"))
    expect(opened.card("film.png")).to_contain_text("The answer cannot be understood.")
    opened.page.unroute("**/v1/predict*")
    opened.card("film.png").get_by_role("button", name="Try again").click()
    opened.answered()


def test_a_refusal_that_the_page_does_not_know_is_told_as_the_service_says_it(tab: OpenTab) -> None:
    opened = tab()
    new = {"error": "brand_new", "detail": "the moon is in the way"}
    opened.page.route("**/v1/predict*", lambda route: route.fulfill(status=422, json=new))
    opened.choose(film("film.png"))
    expect(opened.card("film.png")).to_contain_text("The service gives no answer.")
    expect(opened.card("film.png")).to_contain_text("the moon is in the way")


def test_names_of_files_stay_in_the_browser(tab: OpenTab) -> None:
    """They often hold a patient's name."""
    opened = tab()
    opened.page.evaluate(
        """() => {
          const real = window.fetch;
          window.fetch = (path, options) => {
            const form = [...(options?.body ?? [])];
            if (form.length > 0) window.sent = form.map(([key, { name }]) => [key, name]);
            return real(path, options);
          };
        }"""
    )
    opened.choose(film("Jane_Doe_1961.png"))
    opened.answered()
    assert opened.page.evaluate("window.sent") == [["file", "image"]]


@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (600, "light")])
def test_it_fits_small_screens_and_large_letters_in_both_schemes(
    tab: OpenTab, width: int, scheme: str
) -> None:
    """320 pixels is a phone; 600 is a screen of 1200 at 200 % zoom."""
    opened = tab(
        locale="fr-FR",
        color_scheme=scheme,
        viewport={"width": width, "height": 700},
        reduced_motion="reduce",
    )
    opened.choose(
        film("film_with_quite_a_long_name_that_does_not_end_soon_enough.png"), text_file()
    )
    opened.answered()
    opened.page.locator("summary").first.click()
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    opened.check_access()
