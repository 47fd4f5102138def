"""The statement on a real engine and registry: no statement, no production; then all it says."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from docker import DockerClient

from ml_tasks.build_image import build_image
from ml_tasks.errors import ReleaseError
from ml_tasks.push_model import push_model
from ml_tasks.records import ImageRecord, ReleaseRecord, SmokeRecord
from ml_tasks.release.approval import ApprovalRecord
from ml_tasks.release.bundle import read_json
from ml_tasks.release.context import write_context
from ml_tasks.release.installed import installed_in
from ml_tasks.release.ledger import read_moves
from ml_tasks.release.sbom import keep_sbom
from ml_tasks.release.serving_base import checkout_file
from ml_tasks.release.signing import signing_key
from ml_tasks.release.statement import attest
from ml_tasks.release.verification import verify_image
from ml_tasks.storage import sha256_file
from tests.conftest import unavailable
from tests.docker.registry_process import RegistryProcess
from tests.toy_run import ToyRun

pytestmark = pytest.mark.docker


def record_folder(toy: ToyRun) -> Path:
    return Path(toy.run.load(ImageRecord).bundle).parent / "record"


def test_nothing_goes_into_production_without_a_statement(
    tested: ToyRun, registry: RegistryProcess, engine: DockerClient
) -> None:
    """A key that others can read signs nothing; the version is pushed, and production is not."""
    signing_key(tested.config)
    key = tested.config.paths.releases / "signing_key.pem"
    key.chmod(0o644)
    with pytest.raises(ReleaseError, match="can be used by other users"):
        push_model(tested.run, tested.config, engine)
    version = tested.run.load(ImageRecord).version
    assert set(registry.tags(tested.config.release.image)) <= {version}
    assert not tested.run.has(ReleaseRecord)
    assert read_moves(tested.config.paths.releases) is None
    key.chmod(0o600)
    record = push_model(tested.run, tested.config, engine)
    assert registry.tags(tested.config.release.image)["production"] == record.digest


def test_the_statement_says_what_was_built_from_what(
    tested: ToyRun, engine: DockerClient, registry: RegistryProcess
) -> None:
    record = push_model(tested.run, tested.config, engine)
    image, smoke = tested.run.load(ImageRecord), tested.run.load(SmokeRecord)
    folder, bundle = record_folder(tested), Path(image.bundle)
    envelope = json.loads((folder / "statement.dsse.json").read_bytes())
    content = json.loads(base64.b64decode(envelope["payload"]))
    assert content["_type"] == "https://in-toto.io/Statement/v1"
    assert content["predicateType"] == "https://slsa.dev/provenance/v1"
    assert [one["digest"]["sha256"] for one in content["subject"]] == [
        record.digest.removeprefix("sha256:"),
        image.image_id.removeprefix("sha256:"),
        image.sums_sha256,
    ]
    build, run = content["predicate"]["buildDefinition"], content["predicate"]["runDetails"]
    made_of = {one["name"]: one["digest"] for one in build["resolvedDependencies"]}
    lineage = read_json(bundle, "lineage.json")
    assert made_of["data manifest"] == {"sha256": lineage["manifest_sha256"]}
    assert made_of["configuration"] == {"sha256": lineage["config_sha256"]}
    assert made_of["ml_tasks"] == {"sha256": lineage["code_sha256"]}
    base = str(engine.images.get(image.serving_base).id)
    assert made_of["serving base"] == {"sha256": base.removeprefix("sha256:")}
    assert run["metadata"]["invocationId"] == tested.run.run_id
    found = {one["name"]: one for one in run["byproducts"]}
    assert found["smoke test"]["annotations"]["largest_difference"] == smoke.largest_difference
    assert found["gate"]["annotations"]["verdict"] == "PASS"
    assert found["bill of materials"]["digest"] == {"sha256": sha256_file(folder / "sbom.json")}
    approval = tested.run.load(ApprovalRecord)
    assert found["approval"]["digest"] == {"sha256": sha256_file(folder / "approval.json")}
    assert found["approval"]["annotations"]["answer"] == "not needed"
    assert found["audit log"]["annotations"]["lines"] == 1
    # Signed again, it is the same; and a release that was not smoke-tested gets none.
    again = attest(tested.config, engine, image, smoke, record.digest, approval)
    assert again == folder / "statement.dsse.json"
    other = smoke.model_copy(update={"image_id": base})
    with pytest.raises(ReleaseError, match="is not the tested image"):
        attest(tested.config, engine, image, other, record.digest, approval)


def test_the_bill_lists_what_is_in_the_image(
    toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    path = record_folder(toy) / "sbom.json"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None
    content = json.loads(path.read_bytes())
    assert content["metadata"]["component"]["bom-ref"] == built.image_id
    parts = {part["bom-ref"]: part for part in content["components"]}
    model = parts["file:release/model.onnx"]
    assert model["type"] == "machine-learning-model"
    onnx = sha256_file(Path(built.bundle) / "model.onnx")
    assert model["hashes"] == [{"alg": "SHA-256", "content": onnx}]
    python = [part for ref, part in parts.items() if ref.startswith("pkg:pypi/")]
    assert {"numpy", "onnxruntime", "uvicorn"} <= {part["name"] for part in python}
    assert all(part["licenses"] and part["version"] for part in python)
    assert all(part["properties"] for part in python), "a package that the lock does not name"
    debian = [ref for ref in parts if ref.startswith("pkg:deb/debian/libc6@")]
    assert len(debian) == 1 and "distro=debian-12" in debian[0]
    first = path.read_bytes()
    path.unlink()
    keep_sbom(engine, Path(built.bundle), built.image_id)
    assert path.read_bytes() == first


def test_a_damaged_bill_is_named(toy: ToyRun, built: ImageRecord, engine: DockerClient) -> None:
    (record_folder(toy) / "sbom.json").write_text("{")
    with pytest.raises(ReleaseError, match="is no bill of materials any more"):
        build_image(toy.run, toy.config, engine)


def test_an_image_that_lists_nothing_is_named_and_leaves_no_container(
    toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    """One without `python` cannot be started, one that knows no such module ends with 1."""

    def leaving(text: str) -> str:
        context = io.BytesIO()
        write_context(context, {"Dockerfile": f"FROM {built.image_id}\n{text}\n".encode()})
        context.seek(0)
        name = f"{toy.config.release.image}:listless"
        image, _ = engine.images.build(
            fileobj=context, custom_context=True, tag=name, rm=True, forcerm=True
        )
        with pytest.raises(ReleaseError, match="does not list its packages") as told:
            installed_in(engine, str(image.id))
        assert engine.containers.list(all=True, filters={"ancestor": str(image.id)}) == []
        return str(told.value)

    assert "not found" in leaving("ENV PATH=/nowhere")
    assert "No module named" in leaving("ENV PYTHONPATH=/nowhere\nWORKDIR /")


def test_openssl_alone_checks_the_signature_as_the_page_says(
    tested: ToyRun, engine: DockerClient, tmp_path: Path
) -> None:
    if not shutil.which("jq"):
        unavailable("needs jq, which the page names")
    push_model(tested.run, tested.config, engine)
    shutil.copy(record_folder(tested) / "statement.dsse.json", tmp_path)
    shutil.copy(tested.config.paths.releases / "signing_key.pub", tmp_path / "unit.pub")
    page = checkout_file("docs/release.md").read_text()
    (commands,) = [block for block in page.split("```") if "openssl pkeyutl" in block]

    def run() -> subprocess.CompletedProcess[str]:
        command = ["bash", "-euc", commands]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = run()
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout
    assert '"predicateType": "https://slsa.dev/provenance/v1"' in done.stdout
    envelope = json.loads((tmp_path / "statement.dsse.json").read_bytes())
    envelope["payload"] = base64.b64encode(b"{}").decode()
    (tmp_path / "statement.dsse.json").write_text(json.dumps(envelope))
    assert run().returncode != 0


def test_after_a_change_of_keys_a_release_is_signed_anew_beside_the_old_statement(
    tested: ToyRun, engine: DockerClient, registry: RegistryProcess
) -> None:
    first = push_model(tested.run, tested.config, engine)
    releases = tested.config.paths.releases
    old = (releases / "signing_key.pub").read_bytes()
    (releases / "signing_key.pem").unlink()
    again = push_model(tested.run, tested.config, engine)
    assert (again.digest, again.bytes_pushed) == (first.digest, 0)
    names = sorted(path.name for path in record_folder(tested).glob("statement*"))
    assert names == ["statement.dsse-2.json", "statement.dsse.json"]
    new = (releases / "signing_key.pub").read_bytes().removesuffix(old)
    for key, file in ((new, "statement.dsse-2.json"), (old, "statement.dsse.json")):
        (releases / "one.pub").write_bytes(key)
        checks = verify_image(engine, tested.config, first.reference, releases / "one.pub")
        assert [check.line() for check in checks if check.passed is not True] == []
        assert any(check.reason.startswith(f"{file}, signed") for check in checks)
