"""What the service writes down and counts: figures and codes, never who sent what."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from ml_tasks.dataset.phantoms import phantom as phantom_film
from tests.builders import encoded
from tests.imaging.dicom_files import dicom_bytes
from tests.serving.conftest import lines_of, served, wait_for
from tests.toy_run import make_bundle, phantom

FILM = encoded(phantom_film(np.random.default_rng(1), True))
SECRETS = ("SECRETFILE", "SECRETNAME", "SECRETID", "SECRETQUERY", "SECRETHEADER", "SECRETPATH")


def planted() -> bytes:
    """A DICOM film that names a person."""
    pixels = phantom_film(np.random.default_rng(2), False).astype(np.uint16) * 16
    return dicom_bytes(pixels, PatientName="SECRETNAME^Jane", PatientID="SECRETID")


def ask(client: httpx.Client, *files: bytes) -> httpx.Response:
    sent = [("file", ("SECRETFILE_Jane_Doe.png", data)) for data in files]
    headers = {"User-Agent": "SECRETHEADER", "X-Forwarded-For": "10.9.8.7"}
    return client.post("/v1/predict?name=SECRETQUERY", files=sent, headers=headers)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Path]]:
    """A service that has been asked for this and that, and its log."""
    root = tmp_path_factory.mktemp("asked")
    with served(make_bundle(root), root / "log") as (client, _):
        wait_for(client, "/ready", 200)
        assert ask(client, FILM, b"no image", planted()).status_code == 200
        assert ask(client, planted()[:600]).status_code == 422
        assert client.get("/SECRETPATH/x").status_code == 404
        assert client.request("DELETE", "/v1/predict").status_code == 405
        yield client, root / "log"


def test_a_request_is_one_json_line(asked: tuple[httpx.Client, Path]) -> None:
    several, cut, lost, wrong = lines_of(asked[1], "request", 4)[:4]
    assert several.keys() == {
        "time", "level", "event", "method", "path", "status", "ms", "bytes", "model_version",
        "answers",
    }  # fmt: skip
    assert (several["method"], several["path"], several["status"]) == ("POST", "/v1/predict", 200)
    assert several["bytes"] > len(FILM) and several["ms"] > 0
    first, second, third = several["answers"]
    assert first.keys() == third.keys() == {"prediction", "probability", "quality"}
    assert first["probability"] == round(first["probability"], 2)
    assert second == {"error": "not_an_image"}
    assert (cut["status"], cut["error"]) == (422, "unreadable")
    assert (lost["path"], lost["status"], lost["error"]) == ("(unknown)", 404, "not_found")
    assert (wrong["method"], wrong["error"]) == ("DELETE", "method_not_allowed")


def test_statistics_of_each_judged_image_stand_beside_it(
    asked: tuple[httpx.Client, Path],
) -> None:
    first, second = lines_of(asked[1], "statistics", 2)[:2]
    assert (first["format"], first["width"], first["height"]) == ("PNG", 416, 512)
    assert (second["format"], second["bit_depth"]) == ("DICOM", 12)
    assert 0 < first["picture"]["share"] < 1 and 0 < first["picture"]["mean"] < 255
    assert first["picture"].keys() >= {"deviation", "dark", "bright", "edges", "coarse"}


def test_no_line_tells_of_sender_file_or_patient(asked: tuple[httpx.Client, Path]) -> None:
    lines_of(asked[1], "request", 4)
    text = asked[1].read_text()
    for secret in (*SECRETS, "127.0.0.1:", "10.9.8.7", "Jane"):
        assert secret not in re.sub(r'"event": "Uvicorn running[^"]*"', "", text), secret
    assert "traceback" not in text
    for line in text.splitlines():
        assert len(json.dumps(json.loads(line))) < 2000  # no pixels


def test_figures_are_prometheus_and_name_only_what_is_known(
    asked: tuple[httpx.Client, Path],
) -> None:
    lines_of(asked[1], "request", 4)
    answer = asked[0].get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.text
    version = asked[0].get("/ready").json()["model_version"]
    for line in (
        'mammo_requests_total{path="/v1/predict",status="200"} 1.0',
        'mammo_requests_total{path="/v1/predict",status="422"} 1.0',
        'mammo_requests_total{path="(unknown)",status="404"} 1.0',
        'mammo_request_seconds_count{path="/v1/predict"} 3.0',
        'mammo_images_refused_total{code="not_an_image"} 1.0',
        "mammo_queue_waiting 0.0",
        f'mammo_model_info{{model_version="{version}"}} 1.0',
    ):
        assert line in text, line
    judged = re.findall(r'mammo_predictions_total\{prediction="(\w+)"\} (\d)', text)
    assert sum(int(count) for _, count in judged) == 2
    assert "process_resident_memory_bytes" in text
    assert "SECRET" not in text


def test_a_path_that_is_made_up_makes_no_new_label(asked: tuple[httpx.Client, Path]) -> None:
    before = len(asked[0].get("/metrics").text.splitlines())
    for number in range(20):
        asked[0].get(f"/made/up/{number}")
    assert len(asked[0].get("/metrics").text.splitlines()) <= before + 2


def test_one_setting_turns_the_statistics_off(tmp_path: Path) -> None:
    with served(make_bundle(tmp_path), tmp_path / "log", MAMMO_STATISTICS="off") as (client, _):
        wait_for(client, "/ready", 200)
        assert ask(client, FILM).status_code == 200
        lines_of(tmp_path / "log", "request", 1)
    assert '"statistics"' not in (tmp_path / "log").read_text()


def test_statistics_in_a_file_are_rotated_and_a_full_disk_stops_no_answer(tmp_path: Path) -> None:
    file = tmp_path / "figures" / "s.jsonl"
    file.parent.mkdir()
    settings = {
        "MAMMO_STATISTICS": str(file),
        "MAMMO_STATISTICS_BYTES": "2000",
        "MAMMO_STATISTICS_FILES": "2",
    }
    with served(make_bundle(tmp_path), tmp_path / "log", **settings) as (client, _):
        wait_for(client, "/ready", 200)
        for _ in range(12):
            assert ask(client, phantom(90)).status_code == 200
        lines_of(tmp_path / "log", "request", 12)
        names = sorted(path.name for path in file.parent.iterdir())
        assert names == ["s.jsonl", "s.jsonl.1", "s.jsonl.2"]
        assert all(path.stat().st_size <= 2000 for path in file.parent.iterdir())
        for path in file.parent.iterdir():
            path.unlink()
        file.parent.rmdir()  # the next file cannot be made
        for _ in range(12):
            assert ask(client, phantom(90)).status_code == 200
        lines_of(tmp_path / "log", "request", 24)
    told = [
        line for line in (tmp_path / "log").read_text().splitlines() if "cannot be written" in line
    ]
    assert len(told) == 1
