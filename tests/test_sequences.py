"""Stages in order: frozen settings, a whole run, the guide's own training command."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from ml_tasks import sequences
from ml_tasks.build_image import _parts
from ml_tasks.config import Config, load_config, save_config
from ml_tasks.config_gate import GatePolicy, NonInferiority
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.config_tracking import TrackingConfig
from ml_tasks.errors import ConfigError, GateRefused, ReleaseError, StageSkipped, StorageError
from ml_tasks.model.checkpoint import CheckpointStore
from ml_tasks.model.unfinished import POINTER
from ml_tasks.records import Decision, TrainRecord, ValidationRecord
from ml_tasks.release.bundle import seal
from ml_tasks.release.current_model import publish
from ml_tasks.release.ledger import Move, note_move
from ml_tasks.release.production import keep_training_data
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file
from ml_tasks.tracking.place import URI, place_of
from tests.builders import (
    prepared,
    quick_training,
    toy_config,
    use_toy_network,
    validated,
    write_raw,
)

ANYTHING = GatePolicy(
    min_accuracy=0, min_auc=0, min_sensitivity=0, max_ece=None, max_control_auc=None
)
NEVER_WORSE = ANYTHING.model_copy(update={"non_inferiority": NonInferiority(margin=0.499)})
PERFECT = GatePolicy(min_accuracy=1, min_auc=1, min_sensitivity=1)


def saved(root: Path, **sections: Any) -> tuple[Config, Path]:
    """Settings for a toy run, also as a file."""
    config = toy_config(root, training=quick_training(), **sections)
    save_config(config, root / "config.yaml")
    return config, root / "config.yaml"


def cleaned_for_training(config: Config, lesions: bool = True) -> None:
    """What `python -m ml_tasks.preprocessing clean` leaves in paths.cleaned."""
    from ml_tasks.preprocessing import preprocess

    write_raw(config.paths.raw, lesions=lesions)
    run = RunPaths(config.paths.runs, "clean", cleaned=config.paths.cleaned)
    validated(run, config)
    preprocess(run, config)


def published(config: Config) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in config.paths.model.iterdir()}


def test_a_run_keeps_the_settings_it_began_with(tmp_path: Path) -> None:
    """A file edited while a run trains must not change what its gate asks for."""
    config, path = saved(tmp_path)
    sequences.begin_run("r", path, {"gate.min_auc": 0.5})
    path.write_text(path.read_text().replace("min_auc: 0.8", "min_auc: 0.99"))
    frozen = load_config(RunPaths(config.paths.runs, "r").config)
    assert frozen.gate.min_auc == 0.5
    assert frozen.paths == config.paths


def test_each_worker_reaches_the_registry_in_its_own_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run begun by a worker that only reads there would else never move `production`."""
    config = toy_config(tmp_path)
    path = tmp_path / "config.yaml"
    save_config(config, path)
    reads, pushes = "http://registry-read:5000", "https://registry:5000"
    sequences.begin_run("run-1", path, {"release.registry_url": reads})
    assert sequences.reopened("run-1", path)[1].release.registry_url == reads
    monkeypatch.setenv("MAMMO_REGISTRY_URL", pushes)
    monkeypatch.setenv("MAMMO_REGISTRY", "elsewhere:5000")
    seen = sequences.reopened("run-1", path)[1].release
    assert (seen.registry_url, seen.registry) == (pushes, config.release.registry)


def test_a_bad_setting_begins_no_run(tmp_path: Path) -> None:
    config, path = saved(tmp_path)
    with pytest.raises(
        ConfigError, match=r"gate\.min_acu is not a setting; did you mean `min_auc`"
    ):
        sequences.begin_run("r", path, {"gate.min_acu": 0.5})
    assert not config.paths.runs.exists()


def test_one_stage_runs_by_its_name(tmp_path: Path) -> None:
    config, path = saved(tmp_path)
    run = prepared(config)
    save_config(config, run.config)
    (run.stage("preprocess") / "index.csv").unlink()
    record = sequences.run_stage("preprocess", "r", path)
    assert record.stage == "preprocess"
    assert (run.stage("preprocess") / "index.csv").exists()


def test_a_whole_run_goes_from_raw_films_to_its_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every stage in order, validation by the real suite; no engine is wanted here."""
    use_toy_network(monkeypatch)
    monkeypatch.setenv("SKIP_DOCKER", "1")
    caplog.set_level(logging.INFO, "ml_tasks")
    config, path = saved(tmp_path, gate=ANYTHING)
    write_raw(config.paths.raw)
    decision = sequences.run_all("r", path, {})
    run = RunPaths(config.paths.runs, "r")
    assert decision.passed and run.load(Decision) == decision
    assert run.has(ValidationRecord) and run.has(TrainRecord)
    assert "build_image and what follows is skipped: SKIP_DOCKER is set" in caplog.text
    with pytest.raises(StageSkipped, match="SKIP_DOCKER is set, so no image is built"):
        sequences.run_stage("build_image", "r", path)


def test_a_push_that_is_not_wanted_is_skipped_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SKIP_DOCKER", raising=False)
    config, path = saved(tmp_path, release=ReleaseConfig())
    sequences.begin_run("r", path, {"release.push": False})
    with pytest.raises(StageSkipped, match="release.push is false: the image stays on this mach"):
        sequences.run_stage("push_model", "r", path)
    monkeypatch.setenv("SKIP_DOCKER", "1")
    monkeypatch.setenv("SKIP_DOCKER_REASON", "no engine can run here")
    with pytest.raises(StageSkipped, match="no engine can run here"):
        sequences.run_stage("push_model", "r", path)
    assert config.release.push


def test_a_model_that_passes_is_published_with_the_run_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_toy_network(monkeypatch)
    monkeypatch.delenv(URI, raising=False)
    config, _ = saved(tmp_path, gate=ANYTHING, tracking=TrackingConfig())
    cleaned_for_training(config)
    assert sequences.train_and_judge(config).passed
    files = published(config)
    assert set(files) == {"model.h5", "classes.json", "run.json"}
    run_id = json.loads(files["run.json"])["run_id"]
    run = RunPaths(config.paths.runs, run_id, cleaned=config.paths.cleaned)
    assert sha256_file(config.paths.model / "model.h5") == run.load(TrainRecord).model_sha256
    assert json.loads(files["classes.json"])["positive"] == "Positive"
    assert list(config.paths.logs.rglob("events.out.tfevents.*"))
    (noted,) = MlflowClient(place_of(config, {}).uri).search_runs(["1"])
    assert (noted.data.tags["run_id"], noted.data.tags["verdict"]) == (run_id, "PASS")


def test_the_next_model_is_held_against_the_one_that_was_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the ledger to the gate's sentence, on the raw films, through the release's own ONNX."""
    use_toy_network(monkeypatch)
    config, _ = saved(tmp_path, gate=ANYTHING)
    cleaned_for_training(config)
    first = sequences.train_and_judge(config)
    assert [rule.rule for rule in first.rules][-1] == "first_model" and first.production is None
    version = released(config, first)
    second = sequences.train_and_judge(config.model_copy(update={"gate": NEVER_WORSE}))
    assert second.production == "sha256:first"
    assert second.rules[-1].rule == "non_inferiority"
    assert f"production {version}" in second.rules[-1].sentence


def released(config: Config, decision: Decision) -> str:
    """What push_model leaves below paths.releases; no engine is needed for that."""
    run = RunPaths.reopen(config.paths.runs, decision.run_id)
    bundle = seal(config.paths.releases, _parts(run, decision))
    keep_training_data(bundle, run.stage("preprocess") / "training_data.npz")
    version = bundle.parent.name
    move = Move(
        version=version, digest="sha256:first", reference="r", moved_at="t", digest_before=None
    )
    note_move(config.paths.releases, move)
    return version


def test_a_model_that_fails_leaves_what_stood_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 3 tells a script; the model in use must be the one from before."""
    use_toy_network(monkeypatch)
    config, _ = saved(tmp_path, gate=ANYTHING)
    cleaned_for_training(config, lesions=False)
    sequences.train_and_judge(config)
    before = published(config)
    strict = config.model_copy(update={"gate": PERFECT})
    with pytest.raises(
        GateRefused, match=r"FAILED the gate: .* is unchanged; the report is .*html"
    ):
        sequences.train_and_judge(strict)
    assert published(config) == before
    assert GateRefused.exit_status == 3


class Crash(Exception):
    """Stands for whatever ends a process."""


def interrupt(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    def crash(*_: Any) -> None:
        raise Crash

    monkeypatch.setattr(what, crash)


def ids(config: Config) -> list[str]:
    return sorted(path.name for path in config.paths.runs.glob("train-*"))


def test_the_guides_command_goes_on_with_the_run_that_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While it saved the trained model, and again while it was judged: nothing is trained twice."""
    use_toy_network(monkeypatch)
    caplog.set_level(logging.INFO, "ml_tasks")
    config, _ = saved(tmp_path, gate=ANYTHING)
    cleaned_for_training(config)
    for place in ("ml_tasks.train.save_network", "ml_tasks.evaluate.evaluate"):
        with monkeypatch.context() as patch:
            interrupt(patch, place)
            with pytest.raises(Crash):
                sequences.train_and_judge(config)
    assert sequences.train_and_judge(config).passed
    assert len(ids(config)) == 1
    assert f"going on with run {ids(config)[0]}, which was interrupted" in caplog.text
    assert caplog.text.count("resumed from epoch 3") == 1
    assert sum(line.startswith("epoch ") for line in caplog.messages) == 3
    pointer = config.paths.runs / POINTER
    assert not pointer.exists(), "a run that came to its verdict must not be gone on with"


def test_after_a_change_or_beside_another_process_the_guides_command_begins_a_new_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_toy_network(monkeypatch)
    caplog.set_level(logging.INFO, "ml_tasks")
    config, _ = saved(tmp_path, gate=ANYTHING)
    cleaned_for_training(config)
    with monkeypatch.context() as patch:
        interrupt(patch, "ml_tasks.train.save_network")
        with pytest.raises(Crash):
            sequences.train_and_judge(config)
        (first,) = ids(config)
        left = RunPaths(config.paths.runs, first).checkpoint
        with CheckpointStore(left, {}).owned(), pytest.raises(Crash):
            sequences.train_and_judge(config)
    (_, second) = ids(config)
    assert left.exists(), "it belongs to a training that is at work"
    sequences.train_and_judge(config.model_copy(update={"training": quick_training(seed=7)}))
    said = (
        f"a new run begins: since the interrupted run {second} there changed the section training"
    )
    assert said in caplog.messages and "resumed" not in caplog.text
    assert len(ids(config)) == 3
    assert not RunPaths(config.paths.runs, second).checkpoint.exists()


def test_a_model_folder_of_the_users_own_is_not_replaced(tmp_path: Path) -> None:
    config, _ = saved(tmp_path)
    config.paths.model.mkdir()
    (config.paths.model / "model.h5").write_bytes(b"mine")
    with pytest.raises(StorageError, match="model holds files that were not written by this stage"):
        publish(RunPaths(config.paths.runs, "r"), config)
    assert published(config) == {"model.h5": b"mine"}


def test_without_a_published_model_there_is_nothing_to_push(tmp_path: Path) -> None:
    config, _ = saved(tmp_path)
    with pytest.raises(ReleaseError, match="holds no model that passed the gate; run `python -m"):
        sequences.release_current(config, None)


def test_run_ids_sort_by_time_and_differ() -> None:
    ids = [sequences.new_run_id("manual") for _ in range(20)]
    assert ids == sorted(ids) and len(set(ids)) == 20
    assert all(os.sep not in run_id and ":" not in run_id for run_id in ids)


def test_a_push_by_hand_that_would_be_skipped_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 0 with nothing pushed would be taken for a release."""
    (tmp_path / "config.yaml").write_text("model: {weights: none}\n")
    monkeypatch.setenv("SKIP_DOCKER", "1")
    config = sequences.begin_run("by hand", tmp_path / "config.yaml", {})
    with pytest.raises(ReleaseError, match="nothing was pushed: SKIP_DOCKER is set"):
        sequences.release_current(config, "by hand")
