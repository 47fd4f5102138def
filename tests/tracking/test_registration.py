"""An SQLite file: runs, releases and the alias, each noted once however often it is tried."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from ml_tasks.config import load_config, save_config
from ml_tasks.config_tracking import TrackingConfig
from ml_tasks.records import PreprocessRecord, TrainRecord
from ml_tasks.storage import sha256_file, write_json
from ml_tasks.tracking.notes import Facts, keep_facts
from ml_tasks.tracking.outcome import Outcome
from ml_tasks.tracking.process import register_meanwhile
from ml_tasks.tracking.registration import register
from tests.toy_run import ToyRun
from tests.tracking.runs import (
    MODEL,
    client_of,
    moved_to,
    noted_runs,
    release,
    told_run,
    write_metrics,
)
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def toy(tmp_path: Path, database: Path) -> ToyRun:
    return told_run(tmp_path)


def registered(toy: ToyRun) -> MlflowClient:
    outcome = register(toy.config, [toy.run.run_id])
    assert outcome.done == (toy.run.run_id,), outcome
    return client_of(toy)


def train_again(toy: ToyRun) -> None:
    """Another record of train, as a cleared task leaves it."""
    record = toy.run.load(TrainRecord).model_copy(update={"seconds": 99.0})
    with toy.run.writing(TrainRecord.stage) as work:
        write_json(work / "history.json", [{"epoch": 1, "loss": 0.3}])
        toy.run.seal(work, record)


def test_a_run_is_noted_with_its_figures_settings_and_hashes(toy: ToyRun) -> None:
    client = registered(toy)
    (run,) = noted_runs(client)
    losses = client.get_metric_history(run.info.run_id, "training/loss")
    assert [(m.step, m.value) for m in losses] == [(1, 0.7), (2, 0.5)]
    assert run.data.metrics["test_patients/auc"] == 0.91
    assert run.data.metrics["test_patients/auc_low"] == 0.8
    assert run.data.metrics["less_production/auc_high"] == 0.97
    assert "test_patients/accuracy" not in run.data.metrics  # not computable: not 0
    assert run.data.params["model.dropout"] == "0.5"
    data = toy.run.load(PreprocessRecord)
    assert run.data.tags["data_sha256"] == data.manifest_sha256
    assert run.data.tags["config_sha256"] == sha256_file(toy.run.config)
    assert run.data.tags["verdict"] == "PASS"
    assert "PASSED the gate: accuracy 0.9" in run.data.tags["verdict_in_words"]
    assert run.info.status == "FINISHED"
    assert {file.path for file in client.list_artifacts(run.info.run_id, "evaluation")} == {
        f"evaluation/{name}" for name in ("metrics.json", "roc_curve.png", "confusion_matrix.png")
    }


def test_noting_again_changes_nothing(toy: ToyRun) -> None:
    release(toy)
    client = registered(toy)
    before = [run.to_dictionary() for run in noted_runs(client)]
    registered(toy)
    assert [run.to_dictionary() for run in noted_runs(client)] == before
    assert len(client.search_model_versions(f"name = '{MODEL}'")) == 1


def test_an_interrupted_noting_is_completed_without_doubles(
    toy: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between figures and files, the next attempt writes the same run to its end."""
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", _disconnected)
        assert "gone" in register(toy.config, [toy.run.run_id]).failed[toy.run.run_id]
    client = registered(toy)
    (run,) = noted_runs(client)
    assert len(client.get_metric_history(run.info.run_id, "training/loss")) == 2
    assert client.list_artifacts(run.info.run_id, "evaluation")


def _disconnected(*_: object) -> None:
    raise ConnectionError("the server is gone")


def test_a_release_is_registered_with_hashes_and_files_and_serves_under_the_alias(
    toy: ToyRun,
) -> None:
    shipped = release(toy)
    client = registered(toy)
    version = client.get_model_version_by_alias(MODEL, "production")
    (run,) = noted_runs(client)
    assert version.run_id == run.info.run_id
    assert version.tags["image_digest"] == shipped.digest == run.data.tags["image_digest"]
    assert version.tags["config_sha256"] == sha256_file(toy.run.config)
    for name in ("version", "sums_sha256", "manifest_sha256", "code_sha256", "image_id"):
        assert version.tags[name]
    folder = Path(str(version.source).removeprefix("file://"))
    onnx = toy.run.stage("evaluate") / "model.onnx"
    assert (folder / "model.onnx").read_bytes() == onnx.read_bytes()


def test_the_alias_follows_what_serves_and_is_repaired(tmp_path: Path) -> None:
    """The image registry is the truth: a hand that moved the alias is overruled."""
    first, second = told_run(tmp_path, "first"), told_run(tmp_path, "second")
    older = release(first)
    client = registered(first)
    newer = release(second)
    registered(second)
    assert _serving(client) == newer.version
    client.set_registered_model_alias(MODEL, "production", "1")
    registered(second)
    assert _serving(client) == newer.version
    client.delete_registered_model_alias(MODEL, "production")
    registered(first)
    assert _serving(client) == newer.version
    moved_to(first.config.paths.releases, older.version)  # gone back to the first
    registered(second)
    assert _serving(client) == older.version


def test_the_alias_follows_a_rollback_which_is_of_no_run(tmp_path: Path) -> None:
    first, second = told_run(tmp_path, "first"), told_run(tmp_path, "second")
    older = release(first)
    client = registered(first)
    release(second)
    registered(second)
    moved_to(first.config.paths.releases, older.version)
    outcome = register(first.config, [])
    assert outcome.complete, outcome
    assert _serving(client) == older.version


def test_the_process_that_sets_the_alias_goes_on_by_itself(tmp_path: Path) -> None:
    first, second = told_run(tmp_path, "first"), told_run(tmp_path, "second")
    older = release(first)
    client = registered(first)
    newer = release(second)
    registered(second)
    moved_to(first.config.paths.releases, older.version)
    assert _serving(client) == newer.version
    told = register_meanwhile(first.config)
    until(told.read_text, "it never told of its end")
    assert Outcome.model_validate_json(told.read_text()).complete
    assert _serving(client) == older.version


def _serving(client: MlflowClient) -> str:
    return str(client.get_model_version_by_alias(MODEL, "production").tags["version"])


def test_a_run_that_was_trained_anew_is_another_run_for_mlflow(toy: ToyRun) -> None:
    """Otherwise the curves of two trainings would be drawn as one."""
    registered(toy)
    train_again(toy)
    client = registered(toy)
    registered(toy)
    runs = noted_runs(client)
    assert sorted("superseded" in run.data.tags for run in runs) == [False, True]
    current = next(run for run in runs if "superseded" not in run.data.tags)
    assert current.data.metrics["training/loss"] == 0.3


def test_new_figures_of_the_same_training_take_the_place_of_the_old(toy: ToyRun) -> None:
    registered(toy)
    write_metrics(toy.run, auc=0.77)
    (run,) = noted_runs(registered(toy))
    assert run.data.metrics["test_patients/auc"] == 0.77


def test_a_setting_that_changed_since_is_told(toy: ToyRun) -> None:
    """MLflow never changes a parameter; a gate that was opened later must be seen."""
    registered(toy)
    save_config(load_config(toy.run.config, {"gate.min_auc": 0.5}), toy.run.config)
    (run,) = noted_runs(registered(toy))
    assert run.data.params["gate.min_auc"] == "0.8"
    assert run.data.tags["settings_changed"] == "gate.min_auc: 0.8 -> 0.5"


def test_a_failure_is_told_and_forgotten_once_mended(toy: ToyRun) -> None:
    keep_facts(toy.run, Facts(run_id=toy.run.run_id, failed_stage="gate", failure="MetricError"))
    (run,) = noted_runs(registered(toy))
    assert (run.info.status, run.data.tags["failed_stage"]) == ("FAILED", "gate")
    keep_facts(toy.run, Facts(run_id=toy.run.run_id))
    (run,) = noted_runs(registered(toy))
    assert run.info.status == "FINISHED"
    assert "failed_stage" not in run.data.tags


def test_a_release_that_was_altered_is_not_registered(toy: ToyRun) -> None:
    version = release(toy).version
    bundle = toy.config.paths.releases / version / "bundle"
    (bundle / "classes.json").chmod(0o644)
    (bundle / "classes.json").write_text("{}")
    outcome = register(toy.config, [toy.run.run_id])
    assert "altered since it was sealed" in outcome.failed[toy.run.run_id]
    assert client_of(toy).search_registered_models() == []


def test_one_runs_trouble_does_not_keep_back_the_next(toy: ToyRun, tmp_path: Path) -> None:
    broken = told_run(tmp_path, "broken")
    (broken.run.stage("train") / "record.json").write_text("{")
    outcome = register(toy.config, ["broken", toy.run.run_id])
    assert outcome.done == (toy.run.run_id,)
    assert set(outcome.failed) == {"broken"}


def test_a_deleted_experiment_is_named_with_the_way_out(toy: ToyRun) -> None:
    client = registered(toy)
    (run,) = noted_runs(client)
    client.delete_experiment(run.info.experiment_id)
    outcome = register(toy.config, [toy.run.run_id])
    assert "experiment 'mammography' was deleted in MLflow; restore it" in outcome.unreachable
    tracking = TrackingConfig(experiment="another")
    assert register(toy.config.model_copy(update={"tracking": tracking}), [toy.run.run_id]).complete
