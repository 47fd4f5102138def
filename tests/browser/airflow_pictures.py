"""`python -m tests.browser.airflow_pictures`: draws docs/page-*.png in Airflow on a toy project."""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from ml_tasks.local_stack.demo import DAG_ID
from tests.browser.conftest import FLAGS
from tests.browser.toy_airflow import ToyAirflow, toy_airflow
from tests.pages.toy_project import FAILED

DOCS = Path(__file__).parents[2] / "docs"
LARGEST = 100_000  # bytes of a picture


def main() -> None:
    """Logs in as a person would and photographs each page in Airflow's frame."""
    with (
        tempfile.TemporaryDirectory() as root,
        toy_airflow(Path(root)) as toy,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), headless=True, args=list(FLAGS)
        )
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(60_000)
        _log_in(page, toy)
        run = f"{toy.url}/dags/{DAG_ID}/runs/{quote(FAILED, safe='')}"
        shown = f"{toy.url}/plugin/models/mammography/runs/{quote(FAILED, safe='')}"
        for name, address, frame, words in (
            ("models", f"{toy.url}/plugin/models", "Models", "Every release"),
            ("run", f"{run}/plugin/run-results", "Results", "What it did"),
            ("why", f"{shown}/why", "Models", "The rules"),
            ("curves", f"{shown}/curves", "Models", "epoch_loss"),
        ):
            page.goto(address)
            page.frame_locator(f"iframe[title='{frame}']").get_by_text(words).first.wait_for()
            page.wait_for_timeout(1500)  # for what draws itself
            _keep(page.screenshot(), DOCS / f"page-{name}.png")
        browser.close()


def _log_in(page: Page, toy: ToyAirflow) -> None:
    page.goto(toy.url)
    page.fill("input[name=username]", toy.user)
    page.fill("input[name=password]", toy.password)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Dags").first.wait_for()


def _keep(shot: bytes, path: Path) -> None:
    """As few colours as it takes to stay small."""
    for colours in (128, 64, 32, 16):
        data = io.BytesIO()
        Image.open(io.BytesIO(shot)).convert("RGB").quantize(colours).save(
            data, "PNG", optimize=True
        )
        if len(data.getvalue()) <= LARGEST:
            break
    path.write_bytes(data.getvalue())


if __name__ == "__main__":
    main()
