"""Asking a registry without an engine: a digest, a proven absence, or an error, never a guess."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ml_tasks.config_release import ReleaseConfig
from ml_tasks.errors import ChampionError, RegistryRefused, RegistryUnavailable
from ml_tasks.release.registry_api import Manifest, Registry, manifest_url, tag_digest
from tests.docker.registry_process import RegistryProcess, debians_registry
from tests.release.registry_server import UNKNOWN, Answer, RegistryServer, holding

DIGEST = "sha256:" + "ab" * 32


def at(server: RegistryServer) -> ReleaseConfig:
    return ReleaseConfig(registry=server.address, image="team/toy")


@pytest.mark.parametrize(
    ("registry", "url", "expected"),
    [
        ("localhost:5000", None, "http://localhost:5000/v2/toy/manifests/t"),
        ("127.0.0.1:5000", None, "http://127.0.0.1:5000/v2/toy/manifests/t"),
        ("registry.hospital.org/ai", None, "https://registry.hospital.org/v2/ai/toy/manifests/t"),
        ("localhost:5000/ai", "http://registry:5000", "http://registry:5000/v2/ai/toy/manifests/t"),
    ],
)
def test_the_address_is_the_engines_or_the_workers_own(
    registry: str, url: str | None, expected: str
) -> None:
    release = ReleaseConfig(registry=registry, image="toy", registry_url=url)
    assert manifest_url(release, "t") == expected


def test_a_tag_has_the_digest_that_the_registry_says() -> None:
    with holding(DIGEST) as server:
        assert tag_digest(at(server), "production") == DIGEST
        assert server.asked == [("HEAD", "/v2/team/toy/manifests/production")]


def test_only_the_registrys_own_word_proves_that_there_is_no_such_tag() -> None:
    """A web server at a wrong address says 404 of everything: that is no first model."""
    for code in ("MANIFEST_UNKNOWN", "NAME_UNKNOWN"):
        with RegistryServer(
            lambda *_, code=code: (404, {}, {"errors": [{"code": code}]})
        ) as server:
            assert tag_digest(at(server), "production") is None
    others: list[Answer] = [
        (404, {}, {"error": "no such page"}),
        (404, {}, []),
        (404, {}, {"errors": [{"code": "SOMETHING"}]}),
        (200, {}, {}),
        (302, {"Location": "/login"}, {}),
    ]
    for answer in others:
        with (
            RegistryServer(lambda *_, answer=answer: answer) as server,
            pytest.raises(
                ChampionError, match=r"is no image registry .* set release\.registry_url"
            ),
        ):
            tag_digest(at(server), "production")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_registry_with_a_fault_may_be_asked_again(status: int) -> None:
    with (
        RegistryServer(lambda *_: (status, {}, {})) as server,
        pytest.raises(RegistryUnavailable, match=rf"failed at .* \(HTTP {status}\)"),
    ):
        tag_digest(at(server), "production")


def test_a_registry_that_does_not_answer_is_named_with_the_remedy() -> None:
    release = ReleaseConfig(registry="localhost:1", image="toy")
    with pytest.raises(
        RegistryUnavailable, match=r"http://localhost:1/v2/.* cannot be reached .* start it, or set"
    ):
        tag_digest(release, "production")


def test_a_login_comes_from_netrc_and_is_asked_for_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(method: str, path: str, headers: dict[str, str]) -> Answer:
        if headers.get("authorization") == "Basic bWU6c2VjcmV0":  # me:secret
            return 200, {"Docker-Content-Digest": DIGEST}, {}
        return 401, {"WWW-Authenticate": 'Basic realm="registry"'}, {}

    monkeypatch.setenv("HOME", str(tmp_path))
    with RegistryServer(locked) as server:
        with pytest.raises(ChampionError, match=r"wants a login for .* `docker login`"):
            tag_digest(at(server), "production")
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
        (tmp_path / ".netrc").chmod(0o600)
        assert tag_digest(at(server), "production") == DIGEST


def test_a_token_is_fetched_where_the_registry_names_who_gives_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ml_tasks.release.registry_session._TOKEN_SCHEMES", ("http://",))

    def with_token(method: str, path: str, headers: dict[str, str]) -> Answer:
        if path.startswith("/token"):
            known = "service=r" in path and "scope=repository%3Ateam%2Ftoy%3Apull" in path
            return 200, {}, {"token": "t" if known else "wrong"}
        if headers.get("authorization") == "Bearer t":
            return UNKNOWN
        realm = f'Bearer realm="http://{server.address}/token",service="r",'
        return 401, {"WWW-Authenticate": f'{realm}scope="repository:team/toy:pull"'}, {}

    with RegistryServer(with_token) as server:
        assert tag_digest(at(server), "production") is None


@pytest.mark.parametrize("said", [["no token"], "welcome", None])
def test_who_gives_no_token_but_a_page_is_a_refused_login_and_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, said: object
) -> None:
    monkeypatch.setattr("ml_tasks.release.registry_session._TOKEN_SCHEMES", ("http://",))

    def with_page(method: str, path: str, headers: dict[str, str]) -> Answer:
        if path.startswith("/token"):
            return 200, {}, said
        realm = f'Bearer realm="http://{server.address}/token",service="r"'
        return 401, {"WWW-Authenticate": realm}, {}

    with (
        RegistryServer(with_page) as server,
        pytest.raises(ChampionError, match="wants a login"),
    ):
        tag_digest(at(server), "production")


def test_no_login_is_sent_where_it_would_travel_in_the_clear() -> None:
    def plain(method: str, path: str, headers: dict[str, str]) -> Answer:
        realm = f'Bearer realm="http://{server.address}/token",service="r"'
        return 401, {"WWW-Authenticate": realm}, {}

    with RegistryServer(plain) as server:
        with pytest.raises(ChampionError, match="wants a login"):
            tag_digest(at(server), "production")
        assert not any(path.startswith("/token") for _, path in server.asked)


def test_a_real_registry_without_the_image_says_so(tmp_path: Path, machine: Path) -> None:
    registry = RegistryProcess(debians_registry(machine), tmp_path)
    registry.start()
    try:
        release = ReleaseConfig(registry=registry.address, image="toy")
        assert tag_digest(release, "production") is None
    finally:
        registry.stop()


@pytest.mark.parametrize(("status", "code"), [(405, "UNSUPPORTED"), (400, "MANIFEST_INVALID")])
def test_a_registry_that_takes_nothing_is_not_said_to_be_none(status: int, code: str) -> None:
    """Read-only, or out of a blob: its own name of it says more than a wrong address would."""
    answer: Answer = (status, {}, {"errors": [{"code": code, "message": "secret"}]})
    with (
        RegistryServer(lambda *_: answer) as server,
        Registry(at(server)) as registry,
        pytest.raises(RegistryRefused, match=rf"refuses .*\(HTTP {status}: {code}\)$"),
    ):
        registry.put(Manifest(DIGEST, "application/json", b"{}"), "production")


def test_the_next_page_of_tags_is_asked_of_the_same_machine() -> None:
    """A proxy in front may name another address, or plain http, where a login must not go."""

    def answer(_: str, path: str, __: object) -> Answer:
        if "last=a" in path:
            return 200, {}, {"tags": ["b"]}
        onward = '<http://elsewhere.invalid/v2/team/toy/tags/list?last=a>; rel="next"'
        return 200, {"Link": onward}, {"tags": ["a"]}

    with RegistryServer(answer) as server, Registry(at(server)) as registry:
        assert registry.tags() == ["a", "b"]


@pytest.mark.parametrize("status", [200, 302, 307])
def test_a_layer_that_lies_at_another_store_is_not_lost(status: int) -> None:
    """Registries in front of an object store point there, each by a status of its own."""
    lost = "sha256:" + "0" * 64

    def answer(_: str, path: str, __: object) -> Answer:
        return (404 if path.endswith(lost) else status), {"Location": "http://store.invalid/"}, {}

    config, layers = {"digest": DIGEST}, [{"digest": lost}, {"digest": DIGEST}]
    data = json.dumps({"config": config, "layers": layers}).encode()
    with RegistryServer(answer) as server, Registry(at(server)) as registry:
        assert registry.lacks(Manifest(DIGEST, "application/json", data)) == [lost]
