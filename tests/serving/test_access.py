"""Keys and origins: nobody without the key gets an answer, no browser reads what it may not."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.serving.conftest import served, wait_for
from tests.toy_run import make_bundle, phantom

KEY, ORIGIN = "a-key-of-the-team", "https://viewer.example"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("guarded")
    (root / "key").write_text(f"{KEY}\n")
    settings = {"MAMMO_API_KEY_FILE": str(root / "key"), "MAMMO_CORS_ORIGINS": ORIGIN}
    with served(make_bundle(root), root / "log", **settings) as (client, _):
        wait_for(client, "/ready", 200)
        yield client
    assert KEY not in (root / "log").read_text()


def ask(client: httpx.Client, headers: dict[str, str], path: str = "/v1/predict") -> httpx.Response:
    return client.post(path, files={"file": ("x", phantom(220))}, headers=headers)


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}])
def test_either_way_of_sending_the_key_opens(
    guarded: httpx.Client, headers: dict[str, str]
) -> None:
    assert ask(guarded, headers).status_code == 200
    assert guarded.get("/v1/model", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": "Bearer"},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": ""},
    ],
)
def test_everything_else_is_refused(guarded: httpx.Client, headers: dict[str, str]) -> None:
    for path in ("/v1/predict", "/inference/predict"):
        answer = ask(guarded, headers, path)
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert guarded.get("/v1/model", headers=headers).status_code == 401


def test_probes_figures_and_documents_stay_open(guarded: httpx.Client) -> None:
    for path in ("/health", "/ready", "/metrics", "/openapi.json", "/docs"):
        assert guarded.get(path).status_code == 200


def test_only_the_named_origin_may_read(guarded: httpx.Client, service: httpx.Client) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "x-api-key"
    preflight = guarded.options("/v1/predict", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    refused = ask(guarded, {"Origin": ORIGIN})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == ORIGIN  # a page may say why
    other = ask(guarded, {"Origin": "https://elsewhere.example", "X-API-Key": KEY})
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in ask(service, {"Origin": ORIGIN}).headers
