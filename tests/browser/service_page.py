"""The service's page in a browser: opened, fed with films, and watched for what it must not do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, FilePayload, Locator, Page, expect

from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.release.bundle import seal
from tests.browser.patience import PATIENCE_MS, patient_goto
from tests.builders import encoded
from tests.toy_run import CALIBRATION, CLASSES, THRESHOLD, toy_metrics, write_onnx

RULE = "largest specificity at a sensitivity of at least 0.9 on the validation split"
SCRIPT = "<img src=x onerror=\"document.title='taken over'\">"
CARD = f"""# A toy model

**Research use; not a diagnosis.** {SCRIPT}

- A point with `code` and <script>document.title='taken over'</script>

| split | {SCRIPT} |
|---|---|
| test | a \\| b |

[a link](javascript:document.title='taken over')
"""
# Grey levels by which the toy model answers: its breasts count as Positive from about 150 on.
DARK, BRIGHT = 80, 200


def page_bundle(root: Path, slope: float = 0.2, centre: float = 60.0) -> Path:
    """A sealed toy release with figures, a gate's verdict, a lineage and a hostile model card."""
    write_onnx(root / "model.onnx", slope, centre)
    metrics = toy_metrics().model_dump(mode="json") | {
        "rule": RULE,
        "threshold": THRESHOLD,
        "calibration": CALIBRATION.model_dump(),
    }
    rule = {"rule": "min_auc", "verdict": "PASS", "sentence": f"AUC 0.950 reaches 0.80 {SCRIPT}"}
    lineage = {
        "run_id": SCRIPT,
        "run_started_at": "2026-01-02T03:04:05+00:00",
        "parents": {"records_sha256": {"gate": "ab" * 32}},
    }
    parts: dict[str, Path | bytes] = {
        "model.onnx": root / "model.onnx",
        "model.h5": b"stands for the Keras weights",
        "classes.json": _json(CLASSES),
        "image_spec.json": ImageSpec().model_dump_json().encode(),
        "metrics.json": _json(metrics),
        "decision.json": _json({"verdict": "PASS", "rules": [rule]}),
        "model_card.md": CARD.encode(),
        "lineage.json": _json(lineage),
    }
    return seal(root / "releases", parts)


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(content)).encode()


def film(name: str, brightness: int = BRIGHT, height: int = 300, width: int = 240) -> FilePayload:
    """A textured half ellipse on black, as a file to choose."""
    rows, columns = np.mgrid[:height, :width]
    inside = ((rows - height / 2) / (height * 0.4)) ** 2 + (columns / (width * 0.7)) ** 2 < 1
    grey = np.random.default_rng(7).normal(brightness, 15, (height, width)) * inside
    data = encoded(np.clip(grey, 0, 255).astype(np.uint8))
    return {"name": name, "mimeType": "image/png", "buffer": data}


def text_file(name: str = "notes.txt") -> FilePayload:
    """A file that is no image."""
    return {"name": name, "mimeType": "text/plain", "buffer": b"no image at all"}


class ServicePage:
    """One tab on the page; what it asks for and complains of is noted."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(
            **{"locale": "en-GB", "viewport": {"width": 1200, "height": 900}, **options}
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.url = url
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda line: self._note(line.type, line.text))

    def _note(self, kind: str, text: str) -> None:
        # A refused request is noted by the browser itself, and is no mistake of the page.
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.complaints.append(text)

    def open(self, query: str = "") -> Page:
        """Loads the page; again where an interface of this machine changed while it loaded."""
        for _ in range(5):
            patient_goto(self.page, f"{self.url}/{query}")
            if self.page.locator("#files").is_enabled():
                break
            self.page.wait_for_timeout(300)
        expect(self.page.locator("#files")).to_be_enabled()
        return self.page

    def choose(self, *files: FilePayload) -> None:
        """Puts files into the field, as its dialog would."""
        self.page.set_input_files("#files", list(files))

    def card(self, name: str) -> Locator:
        """The card of the file so named."""
        return self.page.locator("article").filter(has=self.page.get_by_role("heading", name=name))

    def answered(self, count: int = 1) -> None:
        """Waits until so many films are answered."""
        expect(self.page.locator("article.answered")).to_have_count(count)

    def check_access(self) -> None:
        """Finds no violation of WCAG 2.2 AA or of good practice."""
        self.page.wait_for_timeout(50)  # colours that change are half way otherwise
        found = Axe().run(self.page).response["violations"]
        told = [(each["id"], [node["html"][:160] for node in each["nodes"]]) for each in found]
        assert not told, told

    def close(self) -> None:
        """Ends the tab; it has asked nobody else, stored nothing and complained of nothing."""
        stored = self.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
        cookies = self.context.cookies()
        self.context.close()
        outside = [url for url in self.asked if not url.startswith((self.url, "data:", "blob:"))]
        assert not outside, outside
        assert not self.complaints, self.complaints
        assert (stored, cookies) == ([0, 0, ""], [])
