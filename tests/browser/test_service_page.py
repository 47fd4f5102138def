"""The service's page as a person uses it: films in, answers in words, by mouse or keyboard."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import FileChooser, expect

from tests.browser.conftest import OpenTab
from tests.browser.patience import PATIENCE_MS
from tests.browser.service_page import BRIGHT, DARK, SCRIPT, film, text_file

LIMITS = "Research use; not a diagnosis."


def test_a_chosen_film_is_answered_in_words_with_its_limits(tab: OpenTab) -> None:
    opened = tab()
    opened.choose(film("bright.png", BRIGHT))
    opened.answered()
    card = opened.card("bright.png")
    for text in (
        "Positive",
        "abnormality present",
        "This answer is no proof",
        "Probability of Positive",
        "above the threshold of 50.0%",
        "very high (",
        "largest specificity at a sensitivity of at least 0.9 on the validation images",
        "20260102T030405Z-",
    ):
        expect(card).to_contain_text(text)
    scale = card.get_by_role("img", name="Scale from 0 to 100 %")
    expect(scale).to_have_accessible_name(
        re.compile(
            r"Scale from 0 to 100 %: the probability of Positive is \d\d\.\d%; "
            r"from the threshold of 50\.0% on the answer is Positive\."
        )
    )
    expect(opened.page.get_by_text(LIMITS).first).to_be_in_viewport()
    opened.page.mouse.wheel(0, 5000)
    expect(opened.page.get_by_text(LIMITS).first).to_be_in_viewport()
    expect(opened.page.get_by_role("log")).to_contain_text("bright.png: Positive, probability")
    opened.check_access()


def test_the_heat_map_can_be_hidden_faded_and_read_without_its_colours(tab: OpenTab) -> None:
    opened = tab()
    opened.choose(film("bright.png", BRIGHT))
    opened.answered()
    card, layer = opened.card("bright.png"), opened.page.locator(".layer")
    expect(card.get_by_role("img", name="The cleaned picture of bright.png")).to_be_visible()
    expect(card).to_contain_text("128 × 128 pixels")
    # Else "at the left" is taken for the film's left, where a film of the other breast is turned.
    expect(card).to_contain_text("so this may be the mirror image of the film")
    expect(card).to_contain_text(
        "The dashed line encloses where the map speaks strongest for Positive"
    )
    expect(card.get_by_role("group", name="What the colours of the heat map mean")).to_contain_text(
        "− against Positive+ for Positive"
    )
    assert layer.locator("path").first.get_attribute("d")
    card.get_by_label("Opacity of the heat map").fill("35")
    expect(layer.locator("img")).to_have_css("opacity", "0.35")
    expect(card.get_by_text("35%")).to_be_visible()
    card.get_by_label("Heat map", exact=True).uncheck()
    expect(layer).to_be_hidden()
    expect(card.get_by_label("Opacity of the heat map")).to_be_disabled()


def test_several_films_are_answered_in_turn_and_a_refused_one_says_what_to_do(tab: OpenTab) -> None:
    opened = tab()
    opened.choose(
        film("one.png", DARK), text_file(), film("two.png"), film("tiny.png", BRIGHT, 10, 10)
    )
    opened.answered(2)
    expect(opened.page.locator("#tally")).to_have_text(
        "4 of 4 done: 2 answered, 2 without an answer."
    )
    names = [text.split()[0] for text in opened.page.locator("article h3").all_inner_texts()]
    assert names == ["one.png", "notes.txt", "two.png", "tiny.png"]
    expect(opened.card("one.png")).to_contain_text("Negative")
    expect(opened.card("one.png")).to_contain_text("This answer rules nothing out")
    refused = opened.card("notes.txt")
    expect(refused).to_contain_text("No answer: The file is no image that can be read.")
    expect(refused).to_contain_text("Choose a PNG, JPEG, TIFF, PGM or DICOM file.")
    expect(opened.card("tiny.png")).to_contain_text("The picture is too small.")
    expect(opened.page.get_by_role("log")).to_contain_text("notes.txt: no answer.")
    opened.check_access()
    refused.get_by_role("button", name="Remove notes.txt").click()
    expect(opened.page.locator("article")).to_have_count(3)
    opened.page.get_by_role("button", name="Remove all").click()
    expect(opened.page.get_by_role("heading", name="Results")).to_be_hidden()


def test_dropped_files_are_taken_wherever_they_fall_and_folders_are_named(
    tab: OpenTab, tmp_path: Path
) -> None:
    """A file that misses the zone would otherwise replace the page, and the results with it."""
    opened = tab()
    (tmp_path / "film.png").write_bytes(film("film.png")["buffer"])
    (tmp_path / "folder").mkdir()
    devtools = opened.context.new_cdp_session(opened.page)
    files = [str(tmp_path / "film.png"), str(tmp_path / "folder")]
    data = {"items": [], "files": files, "dragOperationsMask": 1}
    at = {"x": 600, "y": 40, "data": data}  # the head of the page
    for kind in ("dragEnter", "dragOver"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, **at})
    expect(opened.page.locator("#drop")).to_have_class("drop over")
    devtools.send("Input.dispatchDragEvent", {"type": "drop", **at})
    opened.answered()
    expect(opened.page.locator("#drop")).to_have_class("drop")
    expect(opened.card("folder")).to_contain_text("This is a folder.")


def test_everything_is_done_by_the_keyboard(tab: OpenTab) -> None:
    opened = tab()
    page, choosers = opened.page, list[FileChooser]()
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the images")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the images")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Choose images")).to_be_focused()
    assert page.locator("#drop").evaluate("it => getComputedStyle(it).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    for _ in range(PATIENCE_MS // 50):
        if choosers:
            break
        page.wait_for_timeout(50)
    choosers[0].set_files([film("film.png")])
    opened.answered()
    walked = []
    for _ in range(9):
        page.keyboard.press("Tab")
        walked.append(
            page.evaluate("document.activeElement.textContent || document.activeElement.type")
        )
    assert walked[:7] == [
        *("Save all as JSON", "Remove all", "Remove", "checkbox", "range"),
        *("Copy as JSON", "Save as JSON"),
    ]
    page.get_by_label("Opacity of the heat map").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".layer img")).to_have_css("opacity", "0.75")
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("A point with code")).to_be_visible()
    opened.card("film.png").get_by_role("button", name="Remove film.png").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Choose images")).to_be_focused()


def test_a_result_is_copied_and_saved_as_json_without_pictures(tab: OpenTab) -> None:
    opened = tab(permissions=["clipboard-read", "clipboard-write"])
    page = opened.page
    opened.choose(film("film.png"), text_file())
    opened.answered()
    card = opened.card("film.png")
    card.get_by_role("button", name="Copy as JSON").click()
    expect(card.get_by_text("Copied.")).to_be_visible()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert (copied["file"], copied["prediction"], copied["notice"]) == (
        "film.png",
        "Positive",
        LIMITS,
    )
    assert copied["model_version"].startswith("20260102T030405Z-")
    assert "picture" not in copied and "activation_map" not in copied
    # Over plain HTTP, as in many a hospital, a browser has no clipboard for pages.
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    opened.choose(film("second.png"))
    opened.answered(2)
    opened.card("second.png").get_by_role("button", name="Copy as JSON").click()
    expect(opened.card("second.png").get_by_text("Copied.")).to_be_visible()
    opened.card("second.png").get_by_role("button", name="Remove second.png").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save all as JSON").click()
    assert download.value.suggested_filename == "results.json"
    saved = json.loads(Path(download.value.path()).read_bytes())
    assert saved[0] == copied
    assert (saved[1]["status"], saved[1]["error"]) == ("refused", "not_an_image")


def test_text_of_files_and_of_the_release_never_becomes_markup(tab: OpenTab) -> None:
    """A hostile file name, or a model card that somebody else wrote, must not run in the page."""
    opened = tab()
    opened.choose(film(f"{SCRIPT}.png"), text_file(f"{SCRIPT}.txt"))
    opened.answered()
    page = opened.page
    for summary in page.locator("summary").all():
        summary.click()
    model = page.locator("#model")
    for text in (
        SCRIPT,
        "<script>",
        "a | b",
        "[a link](javascript:",
        "AUC 0.950 reaches 0.80 <img",
    ):
        expect(model).to_contain_text(text)
    expect(model.get_by_role("heading", name="A toy model")).to_have_count(1)
    assert page.locator("img[onerror], #model a, main script").count() == 0
    assert page.title() == "Mammography classifier: research use"
    opened.check_access()


def test_the_model_is_described_with_its_figures_and_their_intervals(tab: OpenTab) -> None:
    model = tab().page.locator("#model")
    for text in (
        "Negative (no abnormality), Positive (abnormality present)",
        "100 test patients, 50 of them Positive.",
        "The gate’s verdict: passed",
    ):
        expect(model).to_contain_text(text)
    row = model.get_by_role("row", name="AUC (0.5 is guessing)")
    expect(row.get_by_role("cell")).to_have_text(["0.950 [0.920 – 0.980]"] * 3)
    expect(model.get_by_role("row", name="Sensitivity at a specificity of 0.80")).to_be_visible()
