"""INCONCLUSIVE and approved by a person, a model ships and is verified; without, it does not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from docker import DockerClient

from ml_tasks import approve
from ml_tasks.build_image import build_image
from ml_tasks.errors import GateRefused, StorageError
from ml_tasks.push_model import push_model
from ml_tasks.records import ImageRecord, ReleaseRecord, Verdict
from ml_tasks.release.approval import Answer, ApprovalRecord
from ml_tasks.release.audit import Deed, read_audit
from ml_tasks.release.audit_check import check_audit
from ml_tasks.release.rollback import roll_back
from ml_tasks.release.signing import sign, signing_key
from ml_tasks.release.statement import PAYLOAD_TYPE, attest
from ml_tasks.release.verification import verify_image
from ml_tasks.smoke_test import smoke_test
from tests.docker.light_release import said_to_be_tested, shipped
from tests.docker.registry_process import RegistryProcess
from tests.toy_run import ToyRun, make_toy_run

pytestmark = pytest.mark.docker


@pytest.fixture
def unsure(tmp_path: Path, serving_base: str, repository: str, registry: RegistryProcess) -> ToyRun:
    """A run about which the gate could not tell."""
    image = f"{repository}-{uuid4().hex[:8]}"
    return make_toy_run(
        tmp_path / "toy", "unsure", Verdict.INCONCLUSIVE, registry.address, image=image
    )


def answered(toy: ToyRun, answer: Answer = Answer.APPROVED) -> ApprovalRecord:
    return approve.answer(toy.run, toy.config, answer, "ada", "the misses are films of implants")


def test_nothing_is_built_tested_or_pushed_without_an_approval(
    unsure: ToyRun, engine: DockerClient, registry: RegistryProcess
) -> None:
    with pytest.raises(GateRefused, match="no image is built of a model .*; no person has approv"):
        build_image(unsure.run, unsure.config, engine)
    answered(unsure)
    build_image(unsure.run, unsure.config, engine)
    said_to_be_tested(unsure)
    answered(unsure, Answer.REJECTED)
    with pytest.raises(GateRefused, match="no image is tested of .*; REJECTED by ada"):
        smoke_test(unsure.run, unsure.config, engine)
    with pytest.raises(GateRefused, match="nothing is pushed of a model that .*; REJECTED by ada"):
        push_model(unsure.run, unsure.config, engine)
    assert registry.tags(unsure.config.release.image) == {}


def test_with_one_it_ships_and_everything_says_so(unsure: ToyRun, engine: DockerClient) -> None:
    """Then each way of taking the approval away makes the verification fail."""
    approval = answered(unsure)
    image = build_image(unsure.run, unsure.config, engine)
    smoke_test(unsure.run, unsure.config, engine)
    record = push_model(unsure.run, unsure.config, engine)
    assert push_model(unsure.run, unsure.config, engine).digest == record.digest
    folder = Path(image.bundle).parent / "record"
    kept = folder / "approval.json"
    assert json.loads(kept.read_text()) == approval.model_dump(mode="json")
    verdict = json.loads((Path(image.bundle) / "decision.json").read_text())["verdict"]
    assert verdict == "INCONCLUSIVE", "the gate's own verdict stays what it was"
    assert "only by the decision of a person" in (Path(image.bundle) / "model_card.md").read_text()
    assert told(unsure) == [Deed.APPROVED, Deed.RELEASED, Deed.PUSHED]
    assert check_audit(unsure.config).problems == ()
    checks = {check.name: check for check in verify_image(engine, unsure.config, record.version)}
    assert [check.line() for check in checks.values() if check.passed is not True] == []
    assert checks["approval"].reason == approval.summary()
    assert checks["gate"].reason == f"INCONCLUSIVE; {approval.summary()}"

    def failed() -> set[str]:
        found = verify_image(engine, unsure.config, record.version)
        return {check.name for check in found if check.passed is False}

    data = kept.read_bytes()
    kept.write_bytes(data.replace(b"ada", b"eve"))
    assert failed() == {"gate", "approval"}
    kept.unlink()
    assert failed() == {"gate", "approval"}
    kept.write_bytes(data)
    statement = folder / "statement.dsse.json"
    signed = statement.read_bytes()
    resigned(unsure, statement, lambda one: one["name"] != "approval")
    assert failed() == {"gate", "approval"}
    statement.write_bytes(signed)
    assert failed() == set()


@pytest.mark.parametrize("meanwhile", [Answer.REJECTED, Answer.APPROVED, None])
def test_an_answer_while_it_is_pushed_stops_the_move(
    unsure: ToyRun,
    engine: DockerClient,
    registry: RegistryProcess,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Answer | None,
) -> None:
    """A push takes minutes; None: asked again."""
    answered(unsure)
    build_image(unsure.run, unsure.config, engine)
    said_to_be_tested(unsure)

    def signed(*given: Any) -> Path:
        made = attest(*given)
        if meanwhile is None:
            approve.ask(unsure.run, unsure.config)
        else:
            approve.answer(unsure.run, unsure.config, meanwhile, "grace", "looked again")
        return made

    monkeypatch.setattr("ml_tasks.push_model.attest", signed)
    with pytest.raises(GateRefused, match="production is not moved"):
        push_model(unsure.run, unsure.config, engine)
    assert "production" not in registry.tags(unsure.config.release.image)
    assert Deed.PUSHED not in told(unsure)


def told(toy: ToyRun) -> list[Deed]:
    return [entry.deed for entry in read_audit(toy.config.paths.releases)]


def resigned(toy: ToyRun, file: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """As somebody would who may sign, and nobody had asked."""
    content = json.loads(base64.b64decode(json.loads(file.read_bytes())["payload"]))
    details = content["predicate"]["runDetails"]
    details["byproducts"] = [one for one in details["byproducts"] if keep(one)]
    payload = json.dumps(content).encode()
    file.write_text(json.dumps(sign(signing_key(toy.config), PAYLOAD_TYPE, payload)))


def test_moves_are_in_the_audit_log_with_who_did_them(
    tmp_path: Path,
    engine: DockerClient,
    registry: RegistryProcess,
    repository: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that cannot be noted is told, and noted by the same command again."""
    image = f"{repository}-{uuid4().hex[:8]}"
    (first, record), (second, _) = shipped(tmp_path, engine, registry.address, image, 2)
    releases = first.config.paths.releases
    assert told(first) == [Deed.RELEASED, Deed.PUSHED] * 2
    with monkeypatch.context() as patch:
        patch.setattr("ml_tasks.release.rollback.note_moved", _no_space)
        with pytest.raises(StorageError, match="no space left"):
            roll_back(first.config, who="grace")
    assert registry.tags(image)["production"] == record.digest, "it moved all the same"
    (problem,) = check_audit(first.config).problems
    assert "(rollback)" in problem
    roll_back(first.config, record.version, "again", who="grace")
    assert check_audit(first.config).problems == ()
    last = read_audit(releases)[-1]
    assert (last.deed, last.who, last.digest) == (Deed.ROLLED_BACK, "grace", record.digest)
    assert second.run.load(ReleaseRecord).digest != record.digest


def _no_space(*_: object) -> None:
    raise StorageError("no space left")


def test_a_release_is_noted_once_though_it_is_built_twice(
    unsure: ToyRun, engine: DockerClient
) -> None:
    answered(unsure)
    build_image(unsure.run, unsure.config, engine)
    build_image(unsure.run, unsure.config, engine)
    assert told(unsure) == [Deed.APPROVED, Deed.RELEASED]
    version = unsure.run.load(ImageRecord).version
    assert read_audit(unsure.config.paths.releases)[-1].subject == version
