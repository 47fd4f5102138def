"""push_model on a real engine and a real registry: `production` moves last and surely."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from docker import DockerClient

from ml_tasks.build_image import build_image
from ml_tasks.config_gate import GatePolicy
from ml_tasks.errors import (
    ChampionError,
    EngineUnavailable,
    GateRefused,
    ProductionMoved,
    PushError,
    ReleaseError,
    StageOrderError,
)
from ml_tasks.gate import gate
from ml_tasks.push_model import push_model
from ml_tasks.records import ImageRecord, ReleaseRecord, SmokeRecord
from ml_tasks.release.bundle import verify
from ml_tasks.release.champion import Champion, find_champion
from ml_tasks.release.ledger import read_moves
from ml_tasks.release.registry_api import Registry
from tests.docker.engine_proxy import EngineProxy
from tests.docker.light_release import said_to_be_tested
from tests.docker.registry_process import RegistryProcess
from tests.toy_run import ToyRun, make_toy_run

pytestmark = pytest.mark.docker


def in_production(record: ReleaseRecord) -> Champion:
    return Champion(version=record.version, digest=record.digest, registry=None, proof="toy")


def tags(registry: RegistryProcess, toy: ToyRun) -> dict[str, str]:
    return registry.tags(toy.config.release.image)


def record_folder(toy: ToyRun) -> Path:
    return Path(toy.run.load(ImageRecord).bundle).parent / "record"


def test_the_version_and_production_are_the_same_image(
    tested: ToyRun, registry: RegistryProcess, engine: DockerClient
) -> None:
    record = push_model(tested.run, tested.config, engine)
    assert tags(registry, tested) == {record.version: record.digest, "production": record.digest}
    assert record.production_before is None
    size = tested.run.load(ImageRecord).size_bytes
    assert record.bytes_pushed + record.bytes_skipped == pytest.approx(size, rel=0.01)
    assert json.loads((record_folder(tested) / "push.json").read_text())["digest"] == record.digest
    assert (record_folder(tested) / "smoke.json").exists()


def test_a_rerun_pushes_nothing_and_ends_the_same(
    tested: ToyRun, registry: RegistryProcess, engine: DockerClient
) -> None:
    first = push_model(tested.run, tested.config, engine)
    before = tags(registry, tested)
    second = push_model(tested.run, tested.config, engine)
    assert tags(registry, tested) == before
    assert (second.digest, second.bytes_pushed) == (first.digest, 0)
    assert second.bytes_skipped > 0
    assert sorted(path.name for path in record_folder(tested).iterdir()) == [
        "approval.json",
        "drift_reference.csv",
        "push.json",
        "sbom.json",
        "smoke.json",
        "statement.dsse.json",
        "training_data.npz",
    ]
    (move,) = read_moves(tested.config.paths.releases) or []
    assert (move.version, move.digest, move.digest_before) == (first.version, first.digest, None)
    assert move.reference == first.reference and second.production_before is None


def test_the_next_release_moves_production_and_keeps_the_old_version(
    tested: ToyRun,
    registry: RegistryProcess,
    engine: DockerClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = push_model(tested.run, tested.config, engine)
    image = tested.config.release.image
    later = make_toy_run(
        tmp_path / "later",
        "later",
        registry=registry.address,
        image=image,
        champion=in_production(first),
    )
    build_image(later.run, later.config, engine)
    said_to_be_tested(later)
    with caplog.at_level(logging.INFO, "ml_tasks"):
        second = push_model(later.run, later.config, engine)
    assert second.production_before == first.digest
    assert tags(registry, later) == {
        first.version: first.digest,
        second.version: second.digest,
        "production": second.digest,
    }
    # The base is there already: only the release's own layer travels.
    assert second.bytes_pushed < 100_000 < second.bytes_skipped
    assert "bytes are there already" in caplog.text


def test_a_registry_that_is_down_is_retried_and_then_named(
    tested: ToyRun,
    registry: RegistryProcess,
    engine: DockerClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The release is kept, production stays where it was, and clearing the task completes."""
    first = push_model(tested.run, tested.config, engine)
    image = tested.config.release.image
    later = make_toy_run(
        tmp_path / "later",
        "later",
        registry=registry.address,
        image=image,
        champion=in_production(first),
    )
    built = build_image(later.run, later.config, engine)
    said_to_be_tested(later)
    registry.stop()
    with pytest.raises(PushError, match="production has not moved; start the registry") as error:
        push_model(later.run, later.config, engine)
    assert "cannot be reached" in str(error.value) and registry.address in str(error.value)
    assert "attempt 1 of 2" in caplog.text and "trying again in 2 s" in caplog.text
    verify(Path(built.bundle))
    assert str(Path(built.bundle).parent) in str(error.value)
    assert not later.run.has(ReleaseRecord)
    registry.start()
    assert tags(registry, later)["production"] == first.digest
    assert push_model(later.run, later.config, engine).production_before == first.digest
    assert tags(registry, later)["production"] != first.digest


@pytest.mark.parametrize("moment", [b'"Preparing"', b'"Digest"'])
def test_the_engine_gone_during_the_push(
    tested: ToyRun,
    registry: RegistryProcess,
    proxy: EngineProxy,
    through: Callable[[], DockerClient],
    moment: bytes,
) -> None:
    client = through()
    proxy.cut_at = moment
    with pytest.raises(EngineUnavailable, match=r"stopped answering while .* was pushed"):
        push_model(tested.run, tested.config, client)
    assert not tested.run.has(ReleaseRecord)
    assert "production" not in tags(registry, tested)
    proxy.start()
    record = push_model(tested.run, tested.config, through())
    assert tags(registry, tested)["production"] == record.digest


def test_an_untested_image_is_not_pushed(
    tested: ToyRun, registry: RegistryProcess, engine: DockerClient
) -> None:
    smoke = tested.run.load(SmokeRecord).model_copy(update={"image_id": "sha256:" + "1" * 64})
    tested.run.seal(tested.run.stage("smoke_test"), smoke)
    with pytest.raises(ReleaseError, match="run smoke_test again"):
        push_model(tested.run, tested.config, engine)
    with tested.run.writing("build_image") as work:
        record = tested.run.load(ImageRecord)
        tested.run.seal(work, record.model_copy(update={"size_bytes": 1}))
    with pytest.raises(StageOrderError, match=r"smoke_test .* earlier attempt of build_image"):
        push_model(tested.run, tested.config, engine)
    assert tags(registry, tested) == {}


def test_a_tag_that_someone_moved_does_not_ship_another_image(
    tested: ToyRun, registry: RegistryProcess, engine: DockerClient
) -> None:
    image = tested.run.load(ImageRecord)
    repository, _, tag = image.image.partition(":")
    assert engine.images.get(image.serving_base).tag(repository, tag)
    record = push_model(tested.run, tested.config, engine)
    assert engine.images.get(record.reference).id == image.image_id


def test_a_gate_that_changed_its_mind_stops_the_push(
    tested: ToyRun, registry: RegistryProcess, engine: DockerClient
) -> None:
    """Judged anew under stricter limits, a model that was built before must not be shipped."""
    policy = GatePolicy(min_accuracy=1)
    stricter = tested.config.model_copy(update={"gate": policy})
    assert not gate(tested.run, stricter).passed
    with pytest.raises(GateRefused, match="nothing is pushed of a model that FAILED the gate"):
        push_model(tested.run, stricter, engine)
    assert tags(registry, tested) == {}


def test_production_that_moved_since_the_gate_compared_stays_where_it_is(
    tested: ToyRun, registry: RegistryProcess, engine: DockerClient, tmp_path: Path
) -> None:
    """Two runs that both beat yesterday's model were never held against one another."""
    rival = make_toy_run(
        tmp_path / "rival", "rival", registry=registry.address, image=tested.config.release.image
    )
    build_image(rival.run, rival.config, engine)
    said_to_be_tested(rival)
    first = push_model(tested.run, tested.config, engine)
    with pytest.raises(ProductionMoved, match="the gate compared .* with nothing") as refusal:
        push_model(rival.run, rival.config, engine)
    assert first.digest in str(refusal.value)
    assert tags(registry, rival)["production"] == first.digest
    assert read_moves(rival.config.paths.releases) is None
    assert push_model(tested.run, tested.config, engine).digest == first.digest


def test_a_move_that_was_not_noted_is_noted_by_the_next_attempt(
    tested: ToyRun, registry: RegistryProcess, engine: DockerClient
) -> None:
    """A worker lost between the move and the ledger's line would else block every later run."""
    first = push_model(tested.run, tested.config, engine)
    ledger = tested.config.paths.releases / "ledger.jsonl"
    ledger.unlink()
    with pytest.raises(ChampionError, match="clear push_model of the run that is in production"):
        find_champion(tested.config, ask_registry=True)
    push_model(tested.run, tested.config, engine)
    assert find_champion(tested.config, ask_registry=True).digest == first.digest


def test_a_registry_that_lost_everything_gets_production_back(
    tested: ToyRun, registry: RegistryProcess, engine: DockerClient, tmp_path: Path
) -> None:
    first = push_model(tested.run, tested.config, engine)
    elsewhere = tested.config.release.model_copy(
        update={"image": f"{tested.config.release.image}x"}
    )
    emptied = tested.config.model_copy(update={"release": elsewhere})
    with pytest.raises(ChampionError, match=r"holds no `production` at .* or put it back there"):
        find_champion(emptied, ask_registry=True)
    assert push_model(tested.run, emptied, engine).digest == first.digest
    assert find_champion(emptied, ask_registry=True).digest == first.digest


def test_a_version_whose_layer_the_registry_lost_is_pushed_again(
    tested: ToyRun, registry: RegistryProcess, engine: DockerClient
) -> None:
    """Its manifest is there, and nobody could pull it."""
    first = push_model(tested.run, tested.config, engine)
    with Registry(tested.config.release) as held:
        manifest = held.manifest(first.digest)
        assert manifest is not None
        layer = manifest.blobs[-1].removeprefix("sha256:")
        data = registry.storage / "docker/registry/v2/blobs/sha256" / layer[:2] / layer / "data"
        data.unlink()
        assert held.lacks(manifest)
        again = push_model(tested.run, tested.config, engine)
        assert again.digest == first.digest and held.lacks(manifest) == []
    assert again.bytes_pushed > 0


def test_a_move_that_cannot_be_noted_is_told(
    tested: ToyRun,
    registry: RegistryProcess,
    engine: DockerClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The disk is full, or somebody pressed Ctrl-C: production has moved all the same."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ml_tasks.release.shipping.note_move", interrupted)
    with pytest.raises(KeyboardInterrupt):
        push_model(tested.run, tested.config, engine)
    assert "production" in tags(registry, tested)
    assert "which was not noted (KeyboardInterrupt); clear push_model" in caplog.text
