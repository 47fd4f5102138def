"""Evidently's page: draws itself in a browser, loads nothing from outside, tells nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from ml_tasks.monitoring.evidently_report import _evidently
from ml_tasks.watch_drift import watch_drift
from tests.browser.conftest import FLAGS, chromium
from tests.browser.patience import PATIENCE_MS
from tests.monitoring.service_images import DARKER, NOW, lines, make_scene, write_lines

__all__ = ["chromium"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day's folder with drift."""
    scene = make_scene(tmp_path_factory.mktemp("drift"), reference=600)
    write_lines(scene.config.paths.statistics, lines(scene.version, 400, moved=DARKER))
    watch_drift(scene.config, NOW, "manual__1", ask_registry=False)
    return scene.config.paths.drift / "2026-03-10"


def test_the_page_draws_itself_and_asks_for_nothing_from_outside(
    report: Path, chromium: str
) -> None:
    """A hospital's machine has no way out, and its figures must not find one."""
    asked: list[str] = []
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=list(FLAGS), timeout=PATIENCE_MS
        )
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((report / "report.html").as_uri())
        page.get_by_text("Count of Drifted Columns: share").first.wait_for()
        page.locator(".js-plotly-plot").first.wait_for()
        text = page.locator("body").inner_text()
        browser.close()
    outside = [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    assert outside == []
    assert errors == []
    for name in ("mean", "edges", "probability"):
        assert f"Drift in column '{name}'" in text
    assert "Wasserstein distance (normed)" in text
    assert "0.5\n" in text, "the share of the figures, without the probability"


def test_the_page_carries_a_policy_that_forbids_other_addresses(report: Path) -> None:
    head = (report / "report.html").read_text()[:2000]
    policy = head.partition('http-equiv="Content-Security-Policy" content="')[2].partition('"')[0]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy and "*" not in policy and "eval" not in policy
    assert "connect-src" not in policy


def test_the_page_holds_no_single_picture(report: Path) -> None:
    """It shows distributions: the figures of each picture would be a copy of the log."""
    page = (report / "report.html").read_text()
    told = [json.loads(line)["picture"]["bright"] for line in lines("x", 400, moved=DARKER)]
    assert sum(str(value) in page for value in told) < 5


def test_evidently_is_not_to_report_its_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own switch is read from the environment where it would send."""
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    _evidently()
    from evidently.telemetry import event_logger

    assert event_logger.is_enabled() is False
