"""The words of the service's page: English and French, and none missing for any code."""

from __future__ import annotations

import numpy as np
from playwright.sync_api import expect

from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.weighted import figures as figures_of
from ml_tasks.inference.answer import CONFIDENCE_WORDS, Quality
from ml_tasks.records import Verdict
from ml_tasks.serving.refusals import CODES
from tests.browser.conftest import OpenTab
from tests.browser.service_page import film, text_file

FIGURES = set(figures_of(np.array([0, 1]), np.array([0.2, 0.8]), 0.5, np.ones((1, 2))))


def test_it_speaks_french_to_a_french_browser_and_english_at_a_button(tab: OpenTab) -> None:
    opened = tab(locale="fr-FR")
    html = opened.page.locator("html")
    expect(html).to_have_attribute("lang", "fr")
    expect(opened.page).to_have_title("Classification de mammographies : usage de recherche")
    opened.choose(film("film.png"), text_file("notes.txt"))
    opened.answered()
    card = opened.card("film.png")
    for text in (
        "Positif",
        "anomalie présente",
        "au-dessus du seuil de 50,0 %",
        "très élevée (",
        "plus grande spécificité à une sensibilité d’au moins 0,9",
    ):
        expect(card).to_contain_text(text)
    expect(opened.card("notes.txt")).to_contain_text("Le fichier n’est pas une image lisible.")
    expect(opened.page.locator("#model")).to_contain_text("0,950 [0,920 – 0,980]")
    opened.check_access()
    opened.page.get_by_role("button", name="English").click()
    expect(html).to_have_attribute("lang", "en")
    expect(card).to_contain_text("abnormality present")
    expect(opened.card("notes.txt")).to_contain_text("The file is no image that can be read.")
    expect(opened.page.get_by_role("button", name="Français")).to_be_focused()
    opened.open("?lang=en")  # what a reload asks for
    expect(html).to_have_attribute("lang", "en")


def test_images_that_found_no_room_are_told_in_the_other_language_too(tab: OpenTab) -> None:
    """Told no more, they would be taken for judged."""
    opened = tab()
    opened.choose(*(text_file(f"{number}.txt") for number in range(66)))
    expect(opened.page.locator("#too-many")).to_contain_text("2 were left out")
    opened.page.get_by_role("button", name="Français").click()
    expect(opened.page.locator("#too-many")).to_contain_text("2 ont été laissées de côté")


def test_both_languages_have_the_same_texts_and_every_text_is_there(tab: OpenTab) -> None:
    opened = tab()
    keys, used = opened.page.evaluate(
        """async () => {
          const { en } = await import("/static/en.js");
          const { fr } = await import("/static/fr.js");
          const keys = (part) => Object.entries(part).flatMap(([name, text]) =>
            typeof text === "object" ? keys(text).map((inner) => `${name}.${inner}`) : [name]);
          const used = [...document.querySelectorAll("[data-text], [data-label]")]
            .map((each) => each.dataset.text ?? each.dataset.label);
          return [[keys(en), keys(fr)], used];
        }"""
    )
    english, french = keys
    assert english == french and len(english) > 150
    assert set(used) <= set(english)


def test_every_code_of_the_service_has_words_in_both_languages(tab: OpenTab) -> None:
    """In French a code that is not known would be told in English."""
    tables = tab().page.evaluate(
        """async () => {
          const { en } = await import("/static/en.js");
          const { fr } = await import("/static/fr.js");
          const names = ["refusals", "qualities", "confidences", "figures", "verdicts", "levels"];
          return [en, fr].map((texts) => names.map((name) => Object.keys(texts[name])));
        }"""
    )
    waited_for = {"unauthorized", "busy", "not_ready", "release_broken"}
    never_sent = {"bad_parameter", "missing_file", "too_many_files", "method_not_allowed"}
    at_specificity = {name for name in FIGURES if name.startswith("sensitivity_at_")}
    for refusals, qualities, confidences, figures, verdicts, levels in tables:
        assert set(CODES) - waited_for - never_sent - {"bad_request", "not_found"} <= set(refusals)
        assert set(qualities) == set(Quality)
        assert set(confidences) == {word for _, word in CONFIDENCE_WORDS} | {"low"}
        assert FIGURES - at_specificity <= set(figures)
        assert (set(verdicts), set(levels)) == (set(Verdict), set(Level))
