"""A real registry that wants a login, plain or by TLS: pushed to, and no password told."""

from __future__ import annotations

import base64
import io
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from docker import DockerClient

from ml_tasks.errors import ChampionError, PushRefused, RegistryRefused, ReleaseError
from ml_tasks.push_model import push_model
from ml_tasks.records import ImageRecord
from ml_tasks.release.champion import PRODUCTION, find_champion
from ml_tasks.release.engine import connect, engine_errors
from ml_tasks.release.registry import push
from ml_tasks.release.registry_api import Registry
from ml_tasks.release.registry_login import Login
from ml_tasks.release.rollback import roll_back
from tests.docker.certificates import self_signed
from tests.docker.image_tags import tags_of
from tests.docker.light_release import light_run
from tests.docker.registry_process import RegistryProcess
from tests.toy_run import ToyRun

pytestmark = pytest.mark.docker

USER, PASSWORD = "pusher", "planted-Passw0rd"
# Of that password, by bcrypt, the one form that docker-registry reads.
USERS = f"{USER}:$2b$04$k56d0BZ1JBQ6g9y88yGed.84yR3Kcrv5M6kC6K.ic4K4gqRZIztui\n"
ENCODED = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module", params=["plain on this machine", "TLS"])
def guarded(
    request: pytest.FixtureRequest,
    registry_of_session: RegistryProcess,
    certificate: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RegistryProcess]:
    """A registry that answers nobody without user and password."""
    process = RegistryProcess(
        registry_of_session.program,
        tmp_path_factory.mktemp("guarded"),
        users=USERS,
        certificate=certificate if request.param == "TLS" else None,
    )
    process.start()
    yield process
    process.stop()


@pytest.fixture
def login(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificate: tuple[Path, Path]
) -> pytest.MonkeyPatch:
    """Nothing of this machine's own logins; the authority of the test is trusted."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DOCKER_CONFIG", str(home))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    for name in ("MAMMO_REGISTRY_USER", "MAMMO_REGISTRY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def ready(
    tmp_path: Path, engine: DockerClient, guarded: RegistryProcess, login: pytest.MonkeyPatch
) -> Iterator[ToyRun]:
    """A tested run that means to push to the guarded registry."""
    image = f"mammography-login-{uuid4().hex[:8]}"
    address = guarded.address
    toy = light_run(tmp_path / "toy", engine, address, image)
    # By its address alone it would be taken for a plain one, as all of this machine are.
    url = f"https://{address}" if guarded.speaks_tls else None
    release = toy.config.release.model_copy(update={"registry_url": url})
    yield ToyRun(toy.run, toy.config.model_copy(update={"release": release}))
    for tag in tags_of(engine, image):
        engine.images.remove(tag)


def write_config(content: dict[str, object], home: Path) -> None:
    (home / "config.json").write_text(json.dumps(content))


def by_environment(login: pytest.MonkeyPatch, registry: str, home: Path) -> None:
    login.setenv("MAMMO_REGISTRY_USER", USER)
    login.setenv("MAMMO_REGISTRY_PASSWORD", PASSWORD)


def by_docker_login(login: pytest.MonkeyPatch, registry: str, home: Path) -> None:
    write_config({"auths": {registry: {"auth": ENCODED}}}, home)


def by_helper(login: pytest.MonkeyPatch, registry: str, home: Path) -> None:
    """A credential helper: a program that is asked on its standard input."""
    program = home / "docker-credential-toy"
    answer = json.dumps({"ServerURL": registry, "Username": USER, "Secret": PASSWORD})
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    login.setenv("PATH", str(home), prepend=":")
    write_config({"credHelpers": {registry: "toy"}}, home)


def told(caplog: pytest.LogCaptureFixture, root: Path) -> str:
    """Everything that was logged, at any level, and everything that was written."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return caplog.text + "".join(path.read_bytes().decode("latin-1") for path in files)


@pytest.mark.parametrize("way", [by_environment, by_docker_login, by_helper])
def test_a_login_of_every_kind_pushes_moves_and_goes_back_without_being_told(
    ready: ToyRun,
    guarded: RegistryProcess,
    login: pytest.MonkeyPatch,
    engine: DockerClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    way: object,
) -> None:
    assert callable(way)
    way(login, guarded.address, tmp_path / "home")
    with caplog.at_level(logging.DEBUG):
        record = push_model(ready.run, ready.config, engine)
        assert find_champion(ready.config, ask_registry=True).digest == record.digest
        assert roll_back(ready.config, record.version).digest == record.digest
    with Registry(ready.config.release) as registry:
        assert registry.digest(PRODUCTION) == record.digest
    assert PASSWORD not in told(caplog, ready.config.paths.releases.parent)
    assert ENCODED not in told(caplog, ready.config.paths.releases.parent)
    assert "bytes pushed" in caplog.text and "bytes already there" in caplog.text


def test_without_a_login_and_with_a_wrong_one_it_is_said_what_to_do(
    ready: ToyRun,
    guarded: RegistryProcess,
    login: pytest.MonkeyPatch,
    engine: DockerClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ChampionError, match=r"wants a login for .* run `docker login`"):
        find_champion(ready.config, ask_registry=True)
    with pytest.raises(PushRefused, match="wants a login") as refusal:
        push_model(ready.run, ready.config, engine)
    login.setenv("MAMMO_REGISTRY_USER", USER)
    with pytest.raises(PushRefused, match="only one of MAMMO_REGISTRY_USER and"):
        push_model(ready.run, ready.config, engine)
    login.setenv("MAMMO_REGISTRY_PASSWORD", f"{PASSWORD}x")
    with pytest.raises(PushRefused, match="refuses the login of MAMMO_REGISTRY_USER") as refusal:
        push_model(ready.run, ready.config, engine)
    assert PASSWORD not in str(refusal.value) + told(caplog, ready.config.paths.releases.parent)
    assert "attempt 1" not in caplog.text  # trying again would lock the account


def test_a_broken_docker_configuration_stops_no_push_that_needs_no_login(
    login: pytest.MonkeyPatch,
    registry: RegistryProcess,
    engine: DockerClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A credential helper that is not installed is common, and a registry on this machine open."""
    image = f"mammography-login-{uuid4().hex[:8]}"
    toy = light_run(tmp_path / "toy", engine, registry.address, image)
    write_config({"credsStore": "nowhere-installed"}, tmp_path / "home")
    own = connect()  # a client keeps what it has read of the configuration
    record = push_model(toy.run, toy.config, own)
    assert registry.tags(image)["production"] == record.digest
    with (
        pytest.raises(ReleaseError, match="a credential helper that Docker's configuration names"),
        engine_errors(own, "an image was built"),
    ):
        own.images.build(fileobj=io.BytesIO(b"FROM scratch"))
    own.close()
    assert "pushes without a login: Docker's configuration gives no login" in caplog.text
    for tag in tags_of(engine, image):
        engine.images.remove(tag)


def test_an_engine_that_is_refused_says_with_which_login(
    ready: ToyRun, guarded: RegistryProcess, engine: DockerClient, login: pytest.MonkeyPatch
) -> None:
    image = ready.run.load(ImageRecord)
    repository = f"{guarded.address}/{ready.config.release.image}"
    wrong = Login("of a test", USER, f"{PASSWORD}x")
    with pytest.raises(PushRefused, match="with the login of a test") as refusal:
        push(engine, image.image_id, repository, "v", wrong)
    assert PASSWORD not in str(refusal.value)


@pytest.mark.parametrize("guarded", ["TLS"], indirect=True)
def test_a_certificate_of_an_unknown_authority_is_refused(
    ready: ToyRun, guarded: RegistryProcess, login: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    login.delenv("SSL_CERT_FILE")
    with (
        pytest.raises(RegistryRefused, match=r"is not trusted .* SSL_CERT_FILE"),
        Registry(ready.config.release) as registry,
    ):
        registry.digest(PRODUCTION)
    login.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    with pytest.raises(RegistryRefused, match="cannot be read"):
        Registry(ready.config.release)
