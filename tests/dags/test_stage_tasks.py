"""What the tasks of the retraining DAG make of settings, skips and errors."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from ml_tasks import sequences
from ml_tasks.config import load_config
from ml_tasks.errors import (
    EngineUnavailable,
    MammoError,
    PushError,
    PushRefused,
    RunBusy,
    StorageError,
    TrainingError,
    TrainingStopped,
)
from ml_tasks.release.audit import Deed, note, read_audit
from ml_tasks.run_paths import RunPaths

PROJECT = Path(__file__).resolve().parents[2]
RUN = "manual__2026-11-23T00:00:00+00:00"
EMPTY = dict.fromkeys(("data_dir", "weights", "epochs", "batch_size", "min_accuracy", "push"))


@pytest.fixture
def stage_task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module as Airflow imports it, with a run that has begun in a temporary folder."""
    monkeypatch.syspath_prepend(PROJECT / "dags")
    module = importlib.import_module("operators.stage_task")
    config = tmp_path / "config.yaml"
    config.write_text("model: {weights: none}\nrelease: {push: false}\n")
    monkeypatch.setenv("MAMMO_CONFIG", str(config))
    monkeypatch.setattr(module, "get_current_context", lambda: _context({}, []))
    sequences.begin_run(RUN, config, {})
    return module


def _context(params: dict[str, Any], events: list[Any]) -> dict[str, Any]:
    asset_events = {"mammography_new_data": events} if events else {}
    return {
        "run_id": RUN,
        "params": {**EMPTY, **params},
        "triggering_asset_events": asset_events,
    }


def test_an_empty_form_sets_nothing(stage_task: ModuleType) -> None:
    """Otherwise the page would silently overrule config.yaml."""
    assert stage_task.chosen_settings(_context({}, [])) == {}


def test_the_form_sets_what_it_says(stage_task: ModuleType) -> None:
    chosen = stage_task.chosen_settings(
        _context({"epochs": 3, "min_accuracy": 0, "push": False}, [])
    )
    assert chosen == {"training.epochs": 3, "gate.min_accuracy": 0, "release.push": False}


def test_the_newest_event_names_the_folder_and_the_form_goes_first(stage_task: ModuleType) -> None:
    events = [
        SimpleNamespace(extra={"data_dir": name}, timestamp=time)
        for name, time in (("/new", 2), ("/old", 1))
    ]
    by_event = stage_task.chosen_settings(_context({}, events))
    assert by_event == {"paths.raw": "/new"}
    both = stage_task.chosen_settings(_context({"data_dir": "/mine"}, events))
    assert both == {"paths.raw": "/mine"}


@pytest.mark.parametrize("stage", sequences.IMAGE_STAGES)
def test_without_docker_the_image_stages_are_skipped_with_the_reason(
    stage_task: ModuleType, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setenv("SKIP_DOCKER", "1")
    monkeypatch.setenv("SKIP_DOCKER_REASON", "not root, so no engine can be installed")
    with pytest.raises(AirflowSkipException, match="not root, so no engine can be installed"):
        stage_task.run_stage(stage)


def test_a_run_that_is_not_to_push_skips_the_push(
    stage_task: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SKIP_DOCKER", raising=False)
    sequences.begin_run(RUN, tmp_path / "config.yaml", {"release.push": False})
    with pytest.raises(AirflowSkipException, match="release.push is false"):
        stage_task.run_stage("push_model")


def test_what_would_fail_again_is_not_retried(stage_task: ModuleType) -> None:
    with pytest.raises(AirflowFailException, match="run validate_data first"):
        stage_task.run_stage("preprocess")


@pytest.mark.parametrize(
    "error", [EngineUnavailable, PushError, StorageError, TrainingStopped, RunBusy]
)
def test_what_may_pass_by_itself_is_retried(
    stage_task: ModuleType, monkeypatch: pytest.MonkeyPatch, error: type[MammoError]
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error("away for a while")

    monkeypatch.setattr(sequences, "run_stage", fails)
    with pytest.raises(AirflowException, match="away for a while") as raised:
        stage_task.run_stage("push_model")
    assert not isinstance(raised.value, AirflowFailException)


@pytest.mark.parametrize(("user", "who"), [("ada", "ada"), (None, "pipeline")])
def test_who_triggered_the_run_did_what_its_tasks_do(
    stage_task: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    user: str | None,
    who: str,
) -> None:
    """The audit log names the person who pressed Trigger; the schedule is no person."""

    def pushes(*_: Any, **__: Any) -> Any:
        note(tmp_path, Deed.PUSHED, "V1")
        return SimpleNamespace(model_dump=lambda mode: {})

    started = {**_context({}, []), "dag_run": SimpleNamespace(triggering_user_name=user)}
    monkeypatch.setattr(stage_task, "get_current_context", lambda: started)
    monkeypatch.setattr(sequences, "run_stage", pushes)
    stage_task.run_stage("push_model")
    assert [entry.who for entry in read_audit(tmp_path)] == [who]


def test_a_loss_that_is_no_number_is_not_trained_again(
    stage_task: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same settings on the same data come to the same loss."""

    def fails(*_: Any, **__: Any) -> None:
        raise TrainingError("the loss became nan in epoch 3, batch 2 of 9")

    monkeypatch.setattr(sequences, "run_stage", fails)
    with pytest.raises(AirflowFailException, match="the loss became nan in epoch 3, batch 2 of 9"):
        stage_task.run_stage("train")


def test_a_registry_that_refuses_is_not_asked_again(
    stage_task: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise PushRefused("no basic auth; log the engine in")

    monkeypatch.setattr(sequences, "run_stage", fails)
    with pytest.raises(AirflowFailException, match="log the engine in"):
        stage_task.run_stage("push_model")


def test_the_registry_of_this_place_is_taken_over(
    stage_task: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAMMO_REGISTRY", "localhost:5999")
    with pytest.raises(AirflowFailException, match="does not exist"):
        stage_task.run_stage("validate_data")  # there are no data, but the run has begun
    run = RunPaths(tmp_path / "runs", RUN)
    assert load_config(run.config).release.registry == "localhost:5999"


def test_a_registry_that_is_away_as_the_run_begins_is_waited_for(
    stage_task: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells what is in production: without it nothing can be judged, and it may come back."""
    monkeypatch.setenv("MAMMO_REGISTRY_URL", "http://localhost:1")
    monkeypatch.delenv("SKIP_DOCKER", raising=False)
    monkeypatch.setattr(stage_task, "get_current_context", lambda: _context({"push": True}, []))
    with pytest.raises(AirflowException, match="registry at http://localhost:1/v2/") as raised:
        stage_task.run_stage("validate_data")
    assert not isinstance(raised.value, AirflowFailException)


def test_an_announcement_without_a_snapshot_is_held_to_its_count(stage_task: ModuleType) -> None:
    event = SimpleNamespace(extra={"data_dir": "/new", "images": 322}, timestamp=1)
    assert stage_task.chosen_settings(_context({}, [event])) == {
        "paths.raw": "/new",
        "data.announced_images": 322,
    }
    # What the form names is another folder: count and snapshot are not of it.
    chosen = stage_task.chosen_settings(_context({"data_dir": "/mine"}, [event]))
    assert chosen == {"paths.raw": "/mine"}
