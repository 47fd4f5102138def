"""The service over HTTP: the contract, every kind of bad input, readiness, and its end."""

from __future__ import annotations

import io
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.builders import png_header
from tests.serving.conftest import LIMIT, lines_of, served, wait_for
from tests.toy_run import make_bundle, phantom
from tests.waiting import PATIENCE, until

GATEWAY = "/inference/predict"


def ask(service: httpx.Client, data: bytes, name: str = "image.png") -> httpx.Response:
    return service.post("/inference/predict", files={"file": (name, data)})


def blank() -> bytes:
    file = io.BytesIO()
    Image.new("L", (300, 300)).save(file, "PNG")
    return file.getvalue()


def test_the_gateways_contract_and_more(service: httpx.Client) -> None:
    answer = ask(service, phantom(220))
    assert answer.status_code == 200
    content = answer.json()
    assert set(content) == {"prediction", "confidence", "probability", "threshold", "model_version"}
    assert content["prediction"] == "Positive"
    assert 0 <= content["confidence"] <= 1
    assert content["model_version"] == service.get("/ready").json()["model_version"]


def test_large_uploads_are_taken_up_to_the_limit(service: httpx.Client) -> None:
    padded = phantom(220) + b"\0" * (LIMIT - 100_000)  # after the end mark, which readers ignore
    assert ask(service, padded).json() == ask(service, phantom(220)).json()


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "empty"),
        (b"%PDF-1.4 no image", 422, "not_an_image"),
        (phantom(90)[:300], 422, "unreadable"),
        (png_header(60000, 60000), 413, "too_large"),
        (blank(), 422, "no_breast"),
    ],
)
def test_bad_images_are_refused_in_json(
    service: httpx.Client, data: bytes, status: int, code: str
) -> None:
    answer = ask(service, data)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert len(answer.json()["detail"]) > 10


def test_a_request_without_the_field_says_which(service: httpx.Client) -> None:
    for answer in (
        service.post("/inference/predict"),
        service.post("/inference/predict", json={"file": "x"}),
        service.post("/inference/predict", files={"picture": b"x"}),
        service.post("/inference/predict", data={"file": "no file but text"}),
    ):
        assert answer.status_code == 422
        assert answer.json()["error"] == "missing_file"
        assert "`file`" in answer.json()["detail"]


def test_a_broken_form_is_a_bad_request(service: httpx.Client) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = service.post(
            "/inference/predict", content=b"--y\r\nnonsense", headers={"content-type": kind}
        )
        assert 400 <= answer.status_code < 500
        assert answer.json()["error"] in ("bad_request", "missing_file")


def test_a_body_over_the_limit_is_refused(service: httpx.Client) -> None:
    answer = ask(service, b"\0" * (LIMIT + 1))
    assert (answer.status_code, answer.json()["error"]) == (413, "too_large")


def test_a_chunked_body_over_the_limit_is_refused(service: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(LIMIT // 65536 + 1):
            yield b"\0" * 65536

    answer = service.post(
        "/inference/predict",
        content=chunks(),
        headers={"content-type": "multipart/form-data; boundary=x"},
    )
    assert (answer.status_code, answer.json()["error"]) == (413, "too_large")


def test_other_paths_and_methods_are_refused_in_json(service: httpx.Client) -> None:
    assert service.get("/nowhere").json()["error"] == "not_found"
    assert service.get("/inference/predict").json()["error"] == "method_not_allowed"


def test_a_slash_too_many_leads_nowhere(service: httpx.Client) -> None:
    """A redirect would name the address of a header, and http:// behind a proxy's TLS."""
    for path in ("/ready/", "/v1/predict/", "/inference/predict/"):
        answer = service.post(path, headers={"host": "elsewhere.example"})
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


def test_a_client_that_hangs_up_harms_nobody(service: httpx.Client) -> None:
    host, port = service.base_url.host, service.base_url.port
    with socket.create_connection((host, port)) as connection:
        connection.sendall(
            b"POST /inference/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n"
            b"content-type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        )
    assert ask(service, phantom(220)).status_code == 200


def test_many_at_a_time_get_the_same_answer(service: httpx.Client) -> None:
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(service, phantom(130))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer.text for answer in answers}) == 1 and len(answers) == 8


def test_the_documentation_page_is_there(service: httpx.Client) -> None:
    page = service.get("/docs").text
    assert "<code>/v1/predict</code>" in page and "missing_file" in page
    assert not re.search(r"(src|href)=[\"'](https?:)?//", page)  # no outside address
    operation = service.get("/openapi.json").json()["paths"]["/inference/predict"]["post"]
    assert "multipart/form-data" in operation["requestBody"]["content"]


def test_the_log_has_a_line_for_each_request_and_no_file_name(
    service: httpx.Client, log: Path
) -> None:
    before = len(lines_of(log, "request", 0))
    ask(service, phantom(220), name="SECRET_Jane_Doe.png")
    service.get("/no%0Awhere")
    judged, lost = lines_of(log, "request", before + 2)[-2:]
    assert (judged["method"], judged["path"], judged["status"]) == ("POST", GATEWAY, 200)
    assert judged["answers"][0]["prediction"] == "Positive"
    assert (lost["method"], lost["path"], lost["status"]) == ("GET", "(unknown)", 404)
    assert "SECRET" not in log.read_text() and "traceback" not in log.read_text()


def test_a_broken_release_stays_unready_and_says_why(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    (bundle / "model.onnx").unlink()
    with served(bundle, tmp_path / "log") as (client, _):
        broken = "release_broken"
        until(lambda: client.get("/ready").json()["error"] == broken, f"never {broken}")
        answer = client.get("/ready")
        assert answer.status_code == 503 and "model.onnx" in answer.json()["detail"]
        assert ask(client, phantom(220)).status_code == 503
        assert client.get("/health").status_code == 200
    assert "missing: model.onnx" in (tmp_path / "log").read_text()


def test_sigterm_lets_it_finish_and_end_with_status_zero(tmp_path: Path) -> None:
    with served(make_bundle(tmp_path), tmp_path / "log") as (client, process):
        wait_for(client, "/ready", 200)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) in (0, -signal.SIGTERM)
