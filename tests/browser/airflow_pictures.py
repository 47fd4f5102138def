"""`python -m tests.browser.airflow_pictures` draws docs/page-*.png of the demo that is running."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from ml_tasks.local_stack import processes
from ml_tasks.local_stack.airflow import PROCESS, AirflowSettings, login
from ml_tasks.local_stack.airflow_api import AirflowApi
from ml_tasks.local_stack.demo import DAG_ID, PROJECT, DemoOptions
from tests.browser.conftest import FLAGS
from tests.browser.patience import PATIENCE_MS, patient_goto

DOCS = Path(__file__).parents[2] / "docs"
LARGEST = 100_000  # bytes of a picture


def main() -> int:
    """Logs in as a person would and photographs the pages of the latest run in Airflow's frame."""
    options = DemoOptions.from_environment()
    settings = AirflowSettings(options.state, options.airflow_port, PROJECT, options.config)
    if processes.running(options.state, PROCESS) is None:
        sys.stderr.write("no Airflow runs here, and its pages are what is drawn: make demo first\n")
        return 1
    with AirflowApi(settings.url, *login(settings)) as api:
        run_id = api.runs(DAG_ID)[0].dag_run_id
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), headless=True, args=list(FLAGS)
        )
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        _log_in(page, settings)
        _draw(page, settings.url, quote(run_id, safe=""))
        browser.close()
    return 0


def _draw(page: Page, url: str, run: str) -> None:
    shown = f"{url}/plugin/models/mammography/runs/{run}"
    for name, address, frame, words in (
        ("models", f"{url}/plugin/models", "Models", "Every release"),
        ("run", f"{url}/dags/{DAG_ID}/runs/{run}/plugin/run-results", "Results", "What it did"),
        ("why", f"{shown}/why", "Models", "The rules"),
        ("curves", f"{shown}/curves", "Models", "epoch_loss"),
    ):
        patient_goto(page, address)
        page.frame_locator(f"iframe[title='{frame}']").get_by_text(words).first.wait_for()
        page.wait_for_timeout(1500)  # for what draws itself
        _keep(page.screenshot(), DOCS / f"page-{name}.png")


def _log_in(page: Page, settings: AirflowSettings) -> None:
    user, password = login(settings)
    patient_goto(page, settings.url)
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
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
    sys.exit(main())
