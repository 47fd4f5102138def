"""`python -m tests.browser.service_page_picture`: draws docs/service-page.png from phantoms."""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from playwright.sync_api import FilePayload, sync_playwright

from ml_tasks.dataset.phantoms import phantom
from tests.browser.conftest import FLAGS
from tests.browser.service_page import ServicePage, page_bundle
from tests.serving.conftest import served, wait_for

PICTURE = Path(__file__).parents[2] / "docs" / "service-page.png"
WIDTH, HEIGHT = 1080, 1190


def main() -> None:
    """A toy model answers two phantoms, with and without a lesion; the tab is photographed."""
    with tempfile.TemporaryDirectory() as root, sync_playwright() as playwright:
        bundle = page_bundle(Path(root), slope=1.0, centre=35.3)
        with served(bundle, Path(root) / "log") as (client, _):
            wait_for(client, "/ready", 200)
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), headless=True, args=list(FLAGS)
            )
            size = {"width": WIDTH, "height": HEIGHT}
            tab = ServicePage(browser, str(client.base_url).rstrip("/"), viewport=size)
            tab.open()
            tab.choose(*(_film(number) for number in (3, 2)))
            tab.answered(2)
            tab.page.wait_for_timeout(500)  # for the outline
            shot = tab.page.screenshot()
            tab.close()
            browser.close()
    image = Image.open(io.BytesIO(shot)).convert("RGB").quantize(255)
    image.save(PICTURE, optimize=True)


def _film(number: int) -> FilePayload:
    pixels = phantom(np.random.default_rng([7, number, 1]), lesion=bool(number % 2))
    data = cv2.imencode(".png", pixels)[1].tobytes()
    return {"name": f"phantom_{number}.png", "mimeType": "image/png", "buffer": data}


if __name__ == "__main__":
    main()
