"""smoke_test on a real engine: the very image, isolated, answers as evaluated or is refused."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from docker import DockerClient

from ml_tasks.build_image import build_image
from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.errors import DataError, EngineUnavailable, ReleaseError, StageOrderError
from ml_tasks.records import Decision, ImageRecord, SmokeRecord, Split
from ml_tasks.release.container import isolated, mark_of
from ml_tasks.smoke_test import smoke_test
from tests.docker.engine_proxy import EngineProxy
from tests.toy_run import ToyRun, make_toy_run, phantom
from tests.waiting import PATIENCE

pytestmark = pytest.mark.docker


def leftovers(engine: DockerClient, toy: ToyRun) -> list[object]:
    mark: dict[str, str | list[str] | bool] = {"label": mark_of(str(toy.run.root))}
    return [
        *engine.containers.list(all=True, filters=mark),
        *engine.networks.list(filters=mark),
    ]


def replace_image(toy: ToyRun, image_id: str) -> None:
    """Makes the run's record name another image."""
    record = toy.run.load(ImageRecord).model_copy(update={"image_id": image_id})
    toy.run.seal(toy.run.stage("build_image"), record)


def test_the_image_answers_as_evaluated(
    toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    record = smoke_test(toy.run, toy.config, engine)
    assert record.image_id == built.image_id
    assert record.images == 12 and record.largest_difference <= 1e-5
    assert record.refusals == {
        "empty file": 422,
        "text file": 422,
        "truncated picture": 422,
        "decompression bomb": 413,
    }
    assert len(record.trials) == 17 and all(trial.passed for trial in record.trials)
    copy = json.loads((toy.run.stage("smoke_test") / "smoke.json").read_text())
    assert copy["images"] == 12
    assert leftovers(engine, toy) == []


def test_the_image_runs_without_rights_network_or_a_place_to_write(
    built: ImageRecord, engine: DockerClient
) -> None:
    with isolated(engine, built.image_id, str(built.bundle)) as running, running.http:
        running.wait_until_ready(PATIENCE)
        inside = running.container
        assert inside.exec_run(["id", "-u"]).output == b"10001\n"
        for folder in ("/tmp", "/release", "/app"):
            assert inside.exec_run(["touch", f"{folder}/x"]).exit_code != 0
        rights = inside.exec_run(["grep", "CapEff", "/proc/1/status"]).output
        assert rights == b"CapEff:\t0000000000000000\n"
        outside = "import socket; socket.create_connection(('192.0.2.1', 80), 2)"
        assert inside.exec_run(["python", "-c", outside]).exit_code != 0
        assert inside.exec_run(["python", "-m", "ml_tasks.serving.probe"]).exit_code == 0
        large = phantom(200) + b"\0" * (20 << 20)
        answer = running.http.post("/inference/predict", files={"file": ("a", large)})
        assert answer.status_code == 200
        assert inside.exec_run(["find", "/app", "-newer", "/proc/1"]).output == b""


def test_another_answer_than_evaluated_is_refused(
    tmp_path: Path, serving_base: str, repository: str, engine: DockerClient
) -> None:
    toy = make_toy_run(tmp_path, image=repository, shift=1e-4)
    build_image(toy.run, toy.config, engine)
    with pytest.raises(ReleaseError, match="more than 1e-05 apart"):
        smoke_test(toy.run, toy.config, engine)
    assert not toy.run.has(SmokeRecord)
    assert leftovers(engine, toy) == []


def test_an_image_whose_model_was_exchanged_is_refused(
    toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    """Its labels still claim the release; its layers tell that it is another image."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, data in {
            "Dockerfile": f"FROM {built.image_id}\nCOPY model.onnx /release/\n".encode(),
            "model.onnx": (toy.run.stage("evaluate") / "model.onnx").read_bytes() + b"\0",
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    context.seek(0)
    altered, _ = engine.images.build(
        fileobj=context, custom_context=True, tag=f"{toy.config.release.image}:altered"
    )
    replace_image(toy, str(altered.id))
    with pytest.raises(ReleaseError, match=r"its last layer sha256:\w+ is not that of"):
        smoke_test(toy.run, toy.config, engine)
    assert leftovers(engine, toy) == []


def test_an_image_of_another_release_is_refused(
    toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    replace_image(toy, str(engine.images.get(built.serving_base).id))
    with pytest.raises(ReleaseError, match="was made of another release"):
        smoke_test(toy.run, toy.config, engine)


def test_an_image_that_is_gone_is_named(
    toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    replace_image(toy, "sha256:" + "0" * 64)
    with pytest.raises(ReleaseError, match="no longer in the engine; run build_image again"):
        smoke_test(toy.run, toy.config, engine)


def test_an_altered_release_on_disk_is_refused(
    toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    card = Path(built.bundle) / "model_card.md"
    card.chmod(0o644)
    card.write_text("better than it was")
    with pytest.raises(ReleaseError, match=r"altered since it was sealed: model_card\.md"):
        smoke_test(toy.run, toy.config, engine)


def test_raw_files_that_changed_are_named(
    toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    index = read_rows(toy.run.stage("preprocess") / "index.csv", IndexRow)
    for row in index:
        if row.split is Split.TEST:
            (toy.config.paths.raw / row.raw).write_bytes(phantom(77))
    with pytest.raises(DataError, match="changed after validate_data"):
        smoke_test(toy.run, toy.config, engine)
    assert leftovers(engine, toy) == []


def test_a_gate_run_anew_is_refused(toy: ToyRun, built: ImageRecord, engine: DockerClient) -> None:
    record = toy.run.load(Decision)
    toy.run.seal(toy.run.stage("gate"), record.model_copy(update={"inputs": {}}))
    with pytest.raises(StageOrderError, match=r"build_image .* earlier attempt of gate"):
        smoke_test(toy.run, toy.config, engine)


def test_what_a_killed_attempt_left_is_removed(
    toy: ToyRun, built: ImageRecord, engine: DockerClient
) -> None:
    """A worker killed by SIGKILL runs no `finally`; its network's name would be taken for good."""
    attempt = isolated(engine, built.image_id, str(toy.run.root))
    attempt.__enter__()
    assert len(leftovers(engine, toy)) == 2
    smoke_test(toy.run, toy.config, engine)
    assert leftovers(engine, toy) == []


def test_the_engine_gone_during_the_smoke_test(
    toy: ToyRun,
    built: ImageRecord,
    engine: DockerClient,
    proxy: EngineProxy,
    through: Callable[[], DockerClient],
) -> None:
    proxy.cut_at = b'"Running":true'  # the answer about the started container
    with pytest.raises(EngineUnavailable, match="stopped answering while the image was run"):
        smoke_test(toy.run, toy.config, through())
    assert not toy.run.has(SmokeRecord)
    proxy.start()
    assert smoke_test(toy.run, toy.config, through()).images == 12
    assert leftovers(engine, toy) == []
