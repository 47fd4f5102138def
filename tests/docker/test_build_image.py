"""build_image on a real engine: sealed, built offline, the same again; no unjudged file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from docker import DockerClient

from ml_tasks.build_image import build_image
from ml_tasks.errors import EngineUnavailable, GateRefused, ReleaseError, StageOrderError
from ml_tasks.records import Decision, EvaluationRecord, ImageRecord, TrainRecord, Verdict
from ml_tasks.release.bundle import read_json, verify
from ml_tasks.release.python_base import TAG as PYTHON_BASE
from ml_tasks.release.serving_base import REPOSITORY, serving_base_reference
from tests.docker.engine_proxy import EngineProxy
from tests.toy_run import ToyRun, make_toy_run

pytestmark = pytest.mark.docker


def test_the_release_is_sealed_and_the_image_says_what_it_is(
    toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    bundle = Path(built.bundle)
    verify(bundle)
    assert bundle.parent == toy.config.paths.releases / built.version
    image = engine.images.get(built.image)
    assert image.id == built.image_id
    assert image.labels["org.opencontainers.image.version"] == built.version
    assert image.labels["mammography.run-id"] == toy.run.run_id
    assert image.labels["mammography.manifest-sha256"] == "ab" * 32
    lineage = read_json(bundle, "lineage.json")
    assert lineage["parents"]["records_sha256"] == (
        toy.run.mark(TrainRecord) | toy.run.mark(EvaluationRecord) | toy.run.mark(Decision)
    ) | {"preprocess": lineage["parents"]["records_sha256"]["preprocess"]}
    card = (bundle / "model_card.md").read_text()
    assert "not a diagnosis" in card and "| accuracy | 0.900 [0.870, 0.930] |" in card


def test_a_release_adds_one_small_layer_to_the_base(
    built: ImageRecord, engine: DockerClient
) -> None:
    """More than one layer, or a large one, would make every push and pull pay for it."""
    base = engine.images.get(built.serving_base).attrs["RootFS"]["Layers"]
    layers = engine.images.get(built.image_id).attrs["RootFS"]["Layers"]
    assert layers[:-1] == base


def test_a_rerun_gives_the_same_release_and_image(
    toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    assert build_image(toy.run, toy.config, engine) == built


def test_a_rejected_model_is_never_built(
    tmp_path: Path, serving_base: str, engine: DockerClient
) -> None:
    toy = make_toy_run(tmp_path, verdict=Verdict.FAIL)
    with pytest.raises(GateRefused, match=r"accuracy 0\.4 is below 0\.8"):
        build_image(toy.run, toy.config, engine)
    assert not toy.config.paths.releases.exists()


@pytest.mark.parametrize(
    "name",
    [
        "evaluate/model.onnx",
        "evaluate/metrics.json",
        "train/model.h5",
        "train/classes.json",
        "preprocess/image_spec.json",
    ],
)
def test_a_file_that_was_not_judged_is_refused(
    toy: ToyRun, engine: DockerClient, name: str
) -> None:
    stage, _, file = name.partition("/")
    (toy.run.stage(stage) / file).unlink()
    with pytest.raises(ReleaseError, match=file):
        build_image(toy.run, toy.config, engine)
    (toy.run.stage(stage) / file).write_text('{"version": 2}')
    with pytest.raises(ReleaseError, match=file):
        build_image(toy.run, toy.config, engine)
    assert not toy.config.paths.releases.exists()


def test_a_stage_run_anew_since_the_verdict_is_refused(toy: ToyRun, engine: DockerClient) -> None:
    record = toy.run.load(TrainRecord).model_copy(update={"seconds": 2.0})
    toy.run.seal(toy.run.stage("train"), record)
    with pytest.raises(StageOrderError, match=r"evaluate .* earlier attempt of train"):
        build_image(toy.run, toy.config, engine)


def test_without_a_serving_base_the_remedy_is_named(
    engine: DockerClient, serving_base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_tasks.release.serving_base.REPOSITORY", f"{REPOSITORY}-none")
    with pytest.raises(ReleaseError, match="run `mammo serving-base`"):
        serving_base_reference(engine)


@pytest.mark.parametrize("moment", [b"release/model.onnx", b"Loaded image"])
def test_the_engine_gone_during_the_build(
    toy: ToyRun, proxy: EngineProxy, through: Callable[[], DockerClient], moment: bytes
) -> None:
    """The task must say so plainly, keep the release, and complete when it is cleared."""
    proxy.cut_at = moment
    with pytest.raises(EngineUnavailable, match=r"stopped answering while .* was built"):
        build_image(toy.run, toy.config, through())
    assert not toy.run.has(ImageRecord)
    (bundle,) = toy.config.paths.releases.glob("*/bundle")
    verify(bundle)
    proxy.start()
    assert build_image(toy.run, toy.config, through()).bundle == str(bundle)


def test_the_engine_gone_before_the_build(
    toy: ToyRun, proxy: EngineProxy, through: Callable[[], DockerClient]
) -> None:
    client = through()
    proxy.cut()
    with pytest.raises(EngineUnavailable, match="start it and clear this task"):
        build_image(toy.run, toy.config, client)


def test_the_bases_hold_no_build_tools(engine: DockerClient, serving_base: str) -> None:
    script = "pip --version || apt-get clean || ls /var/cache/apt/*.bin /usr/share/man/*"
    done = engine.containers.run(
        serving_base, ["sh", "-c", f"({script}) >/dev/null 2>&1; id -u"], remove=True,
        network_mode="none",
    )  # fmt: skip
    assert done.strip() == b"10001"
    assert engine.images.get(PYTHON_BASE).attrs["Size"] < 200e6
