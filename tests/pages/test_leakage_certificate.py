"""The leakage page: it says the verdict in words and shows both pictures of every overlap."""

from __future__ import annotations

import base64
import re
from html import unescape

import cv2
import numpy as np
import pytest

from ml_tasks.dataset.leakage import (
    LeakageCertificate,
    Overlap,
    OverlapImage,
    OverlapKind,
)
from ml_tasks.pages.leakage_certificate import SHOWN, leakage_page
from ml_tasks.records import Split
from tests.pages.test_pages import EVIL, Page

PICTURES = {
    f"Positive/{name}.png": np.full((128, 128), level, np.uint8)
    for name, level in (("a", 40), ("b", 80), ("c", 120))
}


def overlap(kind: OverlapKind, first: str = "a", second: str = "b") -> Overlap:
    return Overlap(
        kind=kind,
        first=OverlapImage(file=f"Positive/{first}.png", patient="P1", split=Split.TRAIN),
        second=OverlapImage(file=f"Positive/{second}.png", patient="P2", split=Split.TEST),
        similarity=0.8765 if kind is OverlapKind.NEAR_DUPLICATE else None,
    )


def certificate(
    overlaps: tuple[Overlap, ...] = (),
    production: str | None = None,
    production_overlaps: tuple[Overlap, ...] = (),
    run_id: str = "r",
) -> LeakageCertificate:
    return LeakageCertificate(
        run_id=run_id,
        images={Split.TRAIN: 7000, Split.VAL: 1500, Split.TEST: 1500},
        patients={Split.TRAIN: 3500, Split.VAL: 750, Split.TEST: 751},
        pairs=23_250_000,
        method="band-passed-64-v1",
        threshold=0.75,
        overlaps=overlaps,
        against_production=production,
        production_images=8499,
        production_pairs=123_456,
        production_overlaps=production_overlaps,
        clean=not overlaps and not production_overlaps,
    )


def words(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def shown(html: str) -> list[int]:
    """The grey level of each thumbnail, in their order."""
    sources = [value or "" for name, value in Page(html).attributes if name == "src"]
    levels = []
    for source in sources:
        data = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        levels.append(int(np.asarray(pixels)[0, 0]))
    return levels


def test_a_clean_certificate_says_so_and_what_was_compared() -> None:
    text = words(leakage_page(certificate(), {}))
    assert "No leakage was found" in text
    for said in ("7,000", "751", "23,250,000 pairs", "0.75", "no production model to compare"):
        assert said in text
    assert "Overlaps with production" not in text
    assert "production" in words(leakage_page(certificate(production="20260101-1"), {}))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (OverlapKind.PATIENT, "same patient"),
        (OverlapKind.EXACT, "equal pixels"),
        (OverlapKind.NEAR_DUPLICATE, "near-duplicate similarity 0.88"),
    ],
)
def test_each_overlap_is_shown_with_both_pictures(kind: OverlapKind, said: str) -> None:
    html = leakage_page(certificate((overlap(kind),)), PICTURES)
    assert shown(html) == [40, 80]
    text = words(html)
    assert f"{said} Positive/a.png patient P1, train Positive/b.png patient P2, test" in text
    assert "Leakage was found: 1 overlap(s) between splits." in text
    assert "None." not in text and "What to do" in text


def test_production_has_pictures_of_its_own_time() -> None:
    """A file of one name may hold another picture by now."""
    found = (overlap(OverlapKind.EXACT, "a", "a"),)
    page = certificate(production="20260101-1", production_overlaps=found)
    then = {"Positive/a.png": PICTURES["Positive/c.png"]}
    assert shown(leakage_page(page, PICTURES, then)) == [40, 120]
    html = leakage_page(page, PICTURES)
    assert shown(html) == [40]
    assert "0 overlap(s) between splits and 1 with what production was trained on" in words(html)
    assert "8,499 pictures that trained production 20260101-1" in words(html)


def test_a_missing_picture_is_left_out() -> None:
    page = certificate((overlap(OverlapKind.EXACT, "a", "gone"),))
    assert shown(leakage_page(page, PICTURES)) == [40]


def test_a_page_of_very_many_overlaps_stays_readable() -> None:
    many = (overlap(OverlapKind.EXACT),) * (SHOWN + 5)
    html = leakage_page(certificate(many), PICTURES)
    assert len(shown(html)) == 2 * SHOWN
    assert "5 more are listed" in words(html)


def test_whatever_a_file_is_called_stays_text_and_nothing_is_fetched() -> None:
    found = (overlap(OverlapKind.NEAR_DUPLICATE, EVIL, '" onerror="x'),)
    pictures = {found[0].first.file: PICTURES["Positive/a.png"]}
    pictures[found[0].second.file] = PICTURES["Positive/b.png"]
    page = certificate(found, EVIL, found, run_id=EVIL)
    html = leakage_page(page, pictures, pictures)
    parsed = Page(html)
    assert "script" not in parsed.tags and len(shown(html)) == 4
    assert "onerror" not in {name for name, _ in parsed.attributes}
    assert EVIL in parsed.text
    assert not re.search(r"https?://|@import|url\(", html)
