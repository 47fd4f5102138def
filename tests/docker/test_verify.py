"""`mammo verify` on a real engine and a real registry: a true release passes, and nothing else."""

from __future__ import annotations

import base64
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from docker import DockerClient

from ml_tasks.build_image import build_image
from ml_tasks.cli import main
from ml_tasks.config import Config, save_config
from ml_tasks.errors import ReleaseError
from ml_tasks.push_model import push_model
from ml_tasks.records import ImageRecord, ReleaseRecord, SmokeRecord
from ml_tasks.release.approval import ApprovalRecord
from ml_tasks.release.bundle import bundle_of
from ml_tasks.release.examined import Examined, examined
from ml_tasks.release.image_labels import VERSION
from ml_tasks.release.ledger import note_move, read_moves
from ml_tasks.release.signing import sign
from ml_tasks.release.statement import PAYLOAD_TYPE, attest
from ml_tasks.release.verification import Check, verify_image
from ml_tasks.smoke_test import smoke_test
from tests.docker.registry_process import RegistryProcess
from tests.toy_run import ToyRun, make_toy_run

pytestmark = pytest.mark.docker
STATEMENT, SBOM = "statement.dsse.json", "sbom.json"


@pytest.fixture(scope="module")
def shipped(
    tmp_path_factory: pytest.TempPathFactory,
    serving_base: str,
    repository: str,
    registry_of_session: RegistryProcess,
    engine: DockerClient,
) -> Iterator[tuple[ToyRun, ReleaseRecord]]:
    """A release in production, made once: the tests work on copies of its folder."""
    registry_of_session.start()
    toy = make_toy_run(
        tmp_path_factory.mktemp("shipped"),
        image=f"{repository}-{uuid4().hex[:8]}",
        registry=registry_of_session.address,
    )
    build_image(toy.run, toy.config, engine)
    smoke_test(toy.run, toy.config, engine)
    yield toy, push_model(toy.run, toy.config, engine)


@pytest.fixture
def release(shipped: tuple[ToyRun, ReleaseRecord], registry: RegistryProcess) -> ReleaseRecord:
    return shipped[1]


@pytest.fixture
def config(shipped: tuple[ToyRun, ReleaseRecord], tmp_path: Path) -> Config:
    """The configuration of the release, with a copy of the folder of releases to work on."""
    kept = shipped[0].config
    copy = tmp_path / "releases"
    shutil.copytree(kept.paths.releases, copy)
    paths = kept.paths.model_copy(update={"releases": copy})
    return kept.model_copy(update={"paths": paths})


def record_of(config: Config, release: ReleaseRecord) -> Path:
    return config.paths.releases / release.version / "record"


def failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if check.passed is False}


@pytest.mark.parametrize("form", ["reference", "version", "production", "digest", "id"])
def test_a_release_is_verified_by_every_name_it_has(
    config: Config, release: ReleaseRecord, engine: DockerClient, form: str
) -> None:
    names = {
        "reference": release.reference,
        "version": release.version,
        "production": "production",
        "digest": f"{release.reference.rpartition(':')[0]}@{release.digest}",
        "id": release.image_id,
    }
    checks = verify_image(engine, config, names[form])
    assert [check.line() for check in checks if check.passed is not True] == []
    assert len(checks) == 15


def test_the_command_tells_each_check_and_ends_with_1_where_one_failed(
    config: Config,
    release: ReleaseRecord,
    engine: DockerClient,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ml_tasks.cli.log_to_terminal", lambda: None)
    save_config(config, tmp_path / "config.yaml")
    command = ["verify", release.version, "--config", str(tmp_path / "config.yaml")]
    assert main(command) == 0
    assert f"{release.version}: verified\n" in capsys.readouterr().out
    (record_of(config, release) / SBOM).write_text("{}")
    assert main(command) == 1
    told = capsys.readouterr().out
    assert "FAILED       sbom        the hash of sbom.json is sha256:" in told
    assert f"{release.version}: NOT verified: sbom\n" in told


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("bundle/model.onnx", {"bundle", "layer"}),
        ("bundle/SHA256SUMS", {"bundle", "layer", "labels", "sums"}),
        ("bundle/decision.json", {"bundle", "layer", "gate", "approval"}),
        ("bundle/lineage.json", {"bundle", "layer", "lineage", "labels"}),
        ("record/sbom.json", {"sbom"}),
        ("record/statement.dsse.json", {"statement"}),
    ],
)
def test_what_was_altered_is_named(
    config: Config, release: ReleaseRecord, engine: DockerClient, file: str, expected: set[str]
) -> None:
    path = config.paths.releases / release.version / file
    path.chmod(0o644)
    data = path.read_bytes()
    for old, new in (
        (b'"verdict": "PASS"', b'"verdict": "FAIL"'),
        (b"abab", b"baba"),
        (b'"payload": "', b'"payload": "e30='),
    ):
        data = data.replace(old, new)
    path.write_bytes(data if data != path.read_bytes() else data[:-1] + b" ")
    assert failed(verify_image(engine, config, release.version)) == expected


def test_without_the_line_of_the_ledger_it_was_never_released(
    config: Config, release: ReleaseRecord, engine: DockerClient
) -> None:
    (config.paths.releases / "ledger.jsonl").unlink()
    checks = verify_image(engine, config, release.reference)
    assert failed(checks) == {"ledger"}
    assert "knows no such version" in checks[-1].reason


def test_a_statement_of_a_stranger_counts_for_nothing(
    config: Config, release: ReleaseRecord, engine: DockerClient, tmp_path: Path
) -> None:
    """Whoever can write into the record can sign with a key of their own, saying the same."""
    stranger = Ed25519PrivateKey.generate()
    path = record_of(config, release) / STATEMENT
    envelope = json.loads(path.read_bytes())
    forged = sign(stranger, PAYLOAD_TYPE, base64.b64decode(envelope["payload"]))
    path.write_text(json.dumps(forged))
    checks = verify_image(engine, config, release.reference)
    assert failed(checks) == {"statement"}
    (refused,) = [check for check in checks if check.name == "statement"]
    assert "and the known keys are" in refused.reason
    key = tmp_path / "stranger.pub"
    pem = stranger.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key.write_bytes(pem)
    assert failed(verify_image(engine, config, release.reference, key)) == set()


def test_without_the_public_key_nothing_is_verified(
    config: Config, release: ReleaseRecord, engine: DockerClient
) -> None:
    (config.paths.releases / "signing_key.pub").unlink()
    checks = verify_image(engine, config, release.reference)
    assert failed(checks) == {"statement"}
    assert any("name its file with --key" in check.reason for check in checks)


def test_on_a_machine_without_the_release_the_bundle_comes_out_of_the_image(
    config: Config, release: ReleaseRecord, engine: DockerClient, tmp_path: Path
) -> None:
    """A copy of the record and the public key are all that another machine needs."""
    paths = config.paths.model_copy(update={"releases": tmp_path / "none"})
    elsewhere = config.model_copy(update={"paths": paths})
    key, record = config.paths.releases / "signing_key.pub", record_of(config, release)
    checks = verify_image(engine, elsewhere, release.reference, key, record)
    assert failed(checks) == set()
    assert [check.name for check in checks if check.passed is None] == ["ledger"]
    assert failed(verify_image(engine, elsewhere, release.reference, key)) == {"statement"}
    containers = engine.containers.list(all=True, filters={"ancestor": release.image_id})
    assert containers == []


def test_an_image_that_only_looks_like_the_release_is_refused(
    config: Config, release: ReleaseRecord, engine: DockerClient, registry: RegistryProcess
) -> None:
    """The same labels and layers, and another user: only the image's own id tells them apart."""
    image = f"{config.release.image}:copied"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        text = f"FROM {release.image_id}\nUSER 0:0\n".encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    context.seek(0)
    engine.images.build(fileobj=context, custom_context=True, tag=image, rm=True, forcerm=True)
    assert failed(verify_image(engine, config, f"{image}")) >= {"image", "registry", "smoke"}


def test_a_version_that_was_moved_onto_another_release_is_refused(
    config: Config,
    release: ReleaseRecord,
    engine: DockerClient,
    registry: RegistryProcess,
    tmp_path: Path,
) -> None:
    """Both are true releases; the one is shown under the other's name."""
    other = make_toy_run(
        tmp_path / "other", "other", registry=registry.address, image=config.release.image
    )
    built = build_image(other.run, other.config, engine)
    moved = f"{release.version[:-1]}{'0' if release.version[-1] != '0' else '1'}"
    repository = f"{config.release.registry}/{config.release.image}"
    assert engine.images.get(built.image_id).tag(repository, moved)
    engine.images.push(repository, tag=moved)
    checks = verify_image(engine, config, moved)
    assert failed(checks) >= {"tag", "statement", "ledger"}
    engine.images.remove(f"{repository}:{moved}")


def test_what_is_no_release_is_named(
    config: Config, release: ReleaseRecord, serving_base: str, engine: DockerClient
) -> None:
    with pytest.raises(ReleaseError, match="is no release of this pipeline"):
        verify_image(engine, config, serving_base)
    with pytest.raises(ReleaseError, match="the engine holds no image"):
        verify_image(engine, config, "no-such-image:1")
    with pytest.raises(ReleaseError, match="the registry holds no"):
        verify_image(engine, config, "20200101T000000Z-000000000000")
    with pytest.raises(ReleaseError, match="names no image"):
        verify_image(engine, config, "a b@sha256:1")


def made_by_hand(engine: DockerClient, tag: str, version: str, files: dict[str, bytes]) -> None:
    """An image that says it is a version, of these files alone, and that nothing can run."""
    context = io.BytesIO()
    copies = "".join(f"COPY {name} /{name}\n" for name in files)
    text = f"FROM scratch\nLABEL {VERSION}={version}\n{copies}".encode()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, data in {"Dockerfile": text, **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    context.seek(0)
    engine.images.build(fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True)


def test_an_image_of_rubbish_fails_its_checks_and_not_the_command(
    config: Config, release: ReleaseRecord, engine: DockerClient
) -> None:
    """Whatever lies in it under the names of a release, the answer is a list of checks."""
    tag = f"{config.release.image}:rubbish"
    made_by_hand(engine, tag, release.version, {})  # no layer at all
    assert failed(verify_image(engine, config, tag)) >= {"layer", "image", "registry"}
    unknown = "20250101T000000Z-0123456789ab"
    rubbish = {
        "release/SHA256SUMS": b"\xff\xfe",
        "release/lineage.json": b'{"run_started_at": "0001-01-01T00:00:00+14:00"}',
    }
    made_by_hand(engine, tag, unknown, rubbish)
    found = failed(verify_image(engine, config, tag))
    assert found >= {"bundle", "layer", "labels", "statement", "ledger"}
    made_by_hand(engine, tag, unknown, {"content": b"nothing of a release"})
    with pytest.raises(ReleaseError, match="no /release can be taken out"):
        verify_image(engine, config, tag)


def test_production_is_held_against_the_ledger_though_its_bundle_is_gone(
    config: Config, release: ReleaseRecord, engine: DockerClient, tmp_path: Path
) -> None:
    """A bundle may be pruned or moved away; the tag was moved to that release by a stranger."""
    record = tmp_path / "record"
    shutil.copytree(record_of(config, release), record)
    shutil.rmtree(bundle_of(config.paths.releases, release.version))
    assert failed(verify_image(engine, config, "production", record=record)) == set()
    (move,) = read_moves(config.paths.releases) or []
    newer = {"version": "20300101T000000Z-0123456789ab", "digest": "sha256:newer"}
    note_move(config.paths.releases, move.model_copy(update=newer))
    assert failed(verify_image(engine, config, "production", record=record)) == {"tag"}


@pytest.mark.parametrize("manifest", ["signed", "another"])
def test_an_engine_that_names_images_by_their_manifests_verifies_them_too(
    config: Config,
    release: ReleaseRecord,
    engine: DockerClient,
    monkeypatch: pytest.MonkeyPatch,
    manifest: str,
) -> None:
    """As the containerd image store does, in which such an image may be run and verified."""

    @contextmanager
    def by_manifest(*arguments: Any) -> Iterator[Examined]:
        with examined(*arguments) as image:
            yield replace(image, id=release.digest if manifest == "signed" else f"sha256:{0:064}")

    monkeypatch.setattr("ml_tasks.release.verification.examined", by_manifest)
    expected = set() if manifest == "signed" else {"image", "smoke"}
    assert failed(verify_image(engine, config, release.version)) == expected


def test_a_version_that_was_pushed_anew_is_verified_under_its_old_digest_too(
    config: Config, release: ReleaseRecord, engine: DockerClient, shipped: tuple[ToyRun, object]
) -> None:
    """Another engine packs layers otherwise; the newer statement is of the other digest."""
    run = shipped[0].run
    image, smoke = run.load(ImageRecord), run.load(SmokeRecord)
    here = bundle_of(config.paths.releases, release.version)
    image = image.model_copy(update={"bundle": str(here)})
    newer = attest(config, engine, image, smoke, "sha256:" + "d" * 64, run.load(ApprovalRecord))
    assert newer.name == "statement.dsse-2.json"
    assert failed(verify_image(engine, config, release.version)) == set()
