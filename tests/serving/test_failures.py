"""A fault of the service itself: answered as one, and seen as one in its log and figures."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import httpx
import pytest

from ml_tasks.errors import ReleaseError
from ml_tasks.inference.predictor import Predictor
from ml_tasks.serving.app import create_app
from ml_tasks.serving.loading import LoadingRelease
from ml_tasks.serving.settings import Settings
from tests.toy_run import make_bundle, phantom


def test_a_fault_is_told_as_one_in_the_answer_the_log_and_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Noted as a client that hung up, it would never raise an alarm."""
    release = LoadingRelease(make_bundle(tmp_path))
    release.start()
    while not release.complete:
        time.sleep(0.02)

    def failing(*_: object) -> None:
        raise ReleaseError("the model answers [nan]")

    monkeypatch.setattr(Predictor, "judge", failing)
    app = create_app(Settings(release=release.bundle, statistics="off"), release)

    async def asked() -> tuple[httpx.Response, str]:
        to_app = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=to_app, base_url="http://service") as client:
            film = {"file": ("x", phantom(220))}
            return await client.post("/v1/predict", files=film), (await client.get("/metrics")).text

    caplog.set_level(logging.INFO, "ml_tasks.serving.logbook")
    answer, figures = asyncio.run(asked())
    assert (answer.status_code, answer.json()["error"]) == (500, "internal")
    assert 'mammo_requests_total{path="/v1/predict",status="500"} 1.0' in figures
    lines = [getattr(record, "fields", {}) for record in caplog.records]
    (line,) = (each for each in lines if each.get("path") == "/v1/predict")
    assert (line["status"], line["error"]) == (500, "internal")
