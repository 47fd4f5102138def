"""docs/service.md: its examples run against the running service, and its tables are complete."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import httpx
import numpy as np
import pytest

from ml_tasks.dataset.phantoms import phantom as phantom_film
from ml_tasks.inference.answer import CONFIDENCE_WORDS, Quality
from ml_tasks.serving.refusals import CODES
from ml_tasks.serving.settings import Settings
from tests.builders import encoded
from tests.conftest import PROJECT
from tests.imaging.dicom_files import dicom_bytes
from tests.serving.conftest import served, wait_for
from tests.toy_run import make_bundle

PAGE = (PROJECT / "docs" / "service.md").read_text()
ADDRESS = "http://localhost:8001"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Path]]:
    """A service with a key, and a folder with the films of the examples."""
    root = tmp_path_factory.mktemp("examples")
    pixels = phantom_film(np.random.default_rng(8), True)
    (root / "film.png").write_bytes(encoded(pixels))
    (root / "film.dcm").write_bytes(dicom_bytes(pixels.astype(np.uint16) * 16))
    with served(make_bundle(root), root / "log", MAMMO_API_KEY="the-key") as (client, _):
        wait_for(client, "/ready", 200)
        yield client, root


def run(words: list[str], folder: Path) -> str:
    bare = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        words,
        cwd=folder,
        env={**bare, "KEY": "the-key"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", blocks("bash"))
def test_a_curl_example_gets_an_answer(
    service: httpx.Client, keyed: tuple[httpx.Client, Path], command: str
) -> None:
    client = keyed[0] if "$KEY" in command else service
    here = command.replace(ADDRESS, str(client.base_url).rstrip("/"))
    assert here != command
    answer = json.loads(run(["bash", "-c", here], keyed[1]))
    assert "error" not in answer and "model_version" in answer


def test_the_python_example_runs(service: httpx.Client, keyed: tuple[httpx.Client, Path]) -> None:
    (example,) = blocks("python")
    folder = keyed[1]
    here = example.replace(ADDRESS, str(service.base_url).rstrip("/"))
    told = run([sys.executable, "-c", here], folder)
    assert "Research use; not a diagnosis." in told
    assert "film.png Positive" in told or "film.png Negative" in told
    assert (folder / "film.picture.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "film.activation_map.png").read_bytes().startswith(b"\x89PNG")


def test_every_setting_code_warning_and_figure_is_described(service: httpx.Client) -> None:
    for field in fields(Settings):
        assert f"`MAMMO_{field.name.upper()}`" in PAGE
    for code, (status, _) in CODES.items():
        assert f"| `{code}` | {status} |" in PAGE
    for quality in Quality:
        assert f"| `{quality}` |" in PAGE
    for least, words in CONFIDENCE_WORDS:
        assert f"`{words}` from {least:.2f}" in PAGE
    figures = re.findall(r"^# TYPE (mammo_\w+) (\w+)", service.get("/metrics").text, re.MULTILINE)
    for name, _ in figures:
        if not name.endswith("_created"):
            assert f"`{name}`" in PAGE, name


def test_the_defaults_are_as_stated() -> None:
    defaults, sizes = Settings(), ("max_body", "max_bodies", "max_files", "queue")
    for name in (*sizes, "receive_seconds", "answer_seconds"):
        assert f"| `MAMMO_{name.upper()}` | {getattr(defaults, name)} |" in PAGE
