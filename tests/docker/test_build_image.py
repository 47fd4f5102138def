"""build_image on a real engine: sealed, built offline, the same again; no unjudged file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from docker import DockerClient
from docker.errors import ImageNotFound
from docker.models.images import Image

from ml_tasks.build_image import build_image
from ml_tasks.errors import EngineUnavailable, GateRefused, ReleaseError, StageOrderError
from ml_tasks.records import Decision, EvaluationRecord, ImageRecord, TrainRecord, Verdict
from ml_tasks.release.bundle import bundle_of, read_json, verify
from ml_tasks.release.image import build_release_image, check_release_image
from ml_tasks.release.image_config import BaseImage, base_image
from ml_tasks.release.python_base import TAG as PYTHON_BASE
from ml_tasks.release.serving_base import REPOSITORY, serving_base_reference
from tests.counts import cases
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


def test_the_same_release_gives_the_same_image_wherever_and_whenever_it_is_built(
    tmp_path: Path, serving_base: str, repository: str, engine: DockerClient
) -> None:
    """The engine forgets the image each time, so that nothing of it can be found again."""
    toy = make_toy_run(tmp_path / "toy", run_id=f"toy-{uuid4().hex}", image=repository)
    first = build_image(toy.run, toy.config, engine)
    layers = engine.images.get(first.image_id).attrs["RootFS"]["Layers"]
    for day in range(cases(3, 20)):
        engine.images.remove(first.image)
        with pytest.raises(ImageNotFound):
            engine.images.get(first.image_id)
        copy = bundle_of(tmp_path / f"elsewhere-{day}", first.version)
        shutil.copytree(first.bundle, copy)
        for file in copy.iterdir():
            os.utime(file, (day * 86400, day * 86400))
        again = build_release_image(engine, copy, repository, serving_base)
        assert (again.reference, again.id) == (first.image, first.image_id)
        assert engine.images.get(again.id).attrs["RootFS"]["Layers"] == layers
        check_release_image(engine, again.id, copy)


def test_a_base_of_other_code_is_refused(
    toy: ToyRun, engine: DockerClient, serving_base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any image can be given the base's name: the service in it would answer as it likes."""
    name = f"{REPOSITORY}-{uuid4().hex[:8]}"
    monkeypatch.setattr("ml_tasks.release.serving_base.REPOSITORY", name)
    other = f"{name}:{serving_base.rpartition(':')[2]}"
    assert engine.images.get(PYTHON_BASE).tag(*other.split(":"))
    try:
        with pytest.raises(ReleaseError, match="is not the serving base of the installed") as told:
            build_image(toy.run, toy.config, engine)
    finally:
        engine.images.remove(other)
    assert f"docker rmi {other}" in str(told.value)
    assert not toy.run.has(ImageRecord)


def test_an_engine_that_lacks_a_layer_of_the_base_is_named(
    toy: ToyRun, engine: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the containerd image store does, which keeps layers packed and takes no part of an
    image: the release is kept, and the text says what the engine must be like."""

    def lacking(name: str, image: Image) -> BaseImage:
        found = base_image(name, image)
        return replace(found, layers=("sha256:" + "0" * 64, *found.layers[1:]))

    monkeypatch.setattr("ml_tasks.release.image.base_image", lacking)
    with pytest.raises(ReleaseError, match=r"did not take .* classic store"):
        build_image(toy.run, toy.config, engine)
    (bundle,) = toy.config.paths.releases.glob("*/bundle")
    verify(bundle)


def test_an_image_with_one_file_more_is_not_the_release(
    toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    """Its labels are those of the release, word for word: its layers are what counts."""
    container = engine.containers.create(built.image_id, ["touch", "/tmp/one-more"])
    try:
        container.start()
        container.wait()
        altered = container.commit(repository=toy.config.release.image, tag="committed")
    finally:
        container.remove()
    assert altered.labels == engine.images.get(built.image_id).labels
    with pytest.raises(ReleaseError, match="layers below the release are not those"):
        check_release_image(engine, str(altered.id), Path(built.bundle))


def test_an_image_of_another_bundle_is_not_the_release(
    tmp_path: Path, toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    other = make_toy_run(tmp_path / "other", "other", image=toy.config.release.image)
    record = build_image(other.run, other.config, engine)
    with pytest.raises(ReleaseError, match=r"is not that of .*; its labels differ: .*run-id is"):
        check_release_image(engine, record.image_id, Path(built.bundle))


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
