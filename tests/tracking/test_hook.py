"""Around a stage: MLflow may be down or mute, and the stage ends as it would without it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ml_tasks.cli import main
from ml_tasks.config_tracking import TrackingConfig
from ml_tasks.errors import MetricError, StageSkipped, TrainingError, TrainingStopped
from ml_tasks.records import Decision
from ml_tasks.sequences import run_stage
from ml_tasks.tracking.hook import noted
from ml_tasks.tracking.notes import facts_of, pending_runs
from ml_tasks.tracking.place import URI, environment_for_mlflow
from tests.free_ports import free_ports
from tests.toy_run import ToyRun
from tests.tracking.conftest import ANSWERS
from tests.tracking.runs import client_of, noted_runs, told_run


@pytest.fixture(autouse=True)
def own_patience(no_other_mlflow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the product: a server that never answers must cost seconds."""
    monkeypatch.setenv(ANSWERS, environment_for_mlflow({})[ANSWERS])


@pytest.fixture
def toy(tmp_path: Path, database: Path) -> ToyRun:
    return told_run(tmp_path)


@pytest.fixture
def mute() -> Iterator[str]:
    """A server that takes every connection and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def gate_of(toy: ToyRun) -> Decision:
    """What the hook is put around."""
    with noted("gate", toy.run, toy.config):
        return toy.run.load(Decision)


def names_in_mlflow(toy: ToyRun) -> list[str]:
    return sorted(str(run.info.run_name) for run in noted_runs(client_of(toy)))


def waiting(toy: ToyRun) -> list[str]:
    return [pending.run_id for pending in pending_runs(toy.config.paths.runs)]


@pytest.mark.parametrize("kind", ["refused", "mute"])
def test_a_server_that_is_down_costs_a_line_in_the_log_and_the_run_is_noted_later(
    toy: ToyRun,
    kind: str,
    mute: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Registered by the next run's hook."""
    down = f"http://127.0.0.1:{free_ports(1)[0]}" if kind == "refused" else mute
    monkeypatch.setenv(URI, down)
    assert gate_of(toy).passed
    (line,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert line.name.startswith("ml_tasks.tracking")
    assert f"MLflow ({down}) has not taken this run" in line.message
    assert "`mammo track`" in line.message
    assert waiting(toy) == [toy.run.run_id]
    monkeypatch.delenv(URI)
    other = told_run(toy.run.runs.parent, "the next run")
    gate_of(other)
    assert waiting(toy) == []
    assert names_in_mlflow(toy) == sorted([toy.run.run_id, "the next run"])


def test_what_is_pending_is_registered_by_hand_once_the_server_is_back(
    toy: ToyRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status tells a script whether anything is still missing."""
    config = str(toy.run.config)
    monkeypatch.setenv(URI, f"http://127.0.0.1:{free_ports(1)[0]}")
    assert main(["track", "--run", toy.run.run_id, "--config", config]) == 1
    assert "not reached: " in capsys.readouterr().out
    assert waiting(toy) == [toy.run.run_id]
    monkeypatch.delenv(URI)
    assert main(["track", "--config", config]) == 0
    assert toy.run.run_id in capsys.readouterr().out
    assert waiting(toy) == []
    assert main(["track", "--all", "--config", config]) == 0
    assert names_in_mlflow(toy) == [toy.run.run_id]


def test_a_failed_training_is_noted_with_its_stage_and_raises_what_it_raised(
    toy: ToyRun,
) -> None:
    """The reason stays in the log: it may name a patient's file."""
    with pytest.raises(TrainingError, match=r"P03\.png"), noted("train", toy.run, toy.config):
        raise TrainingError("P03.png broke it")
    (run,) = noted_runs(client_of(toy))
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"] == "TrainingError; the log of train says why"


def test_mlflow_hears_nothing_of_stages_that_were_skipped_or_stopped_or_come_before_training(
    toy: ToyRun,
) -> None:
    """A training that was told to stop has 5 s left, and its next attempt goes on from there."""
    for stage, ending in (("push_model", StageSkipped), ("train", TrainingStopped)):
        with pytest.raises(ending), noted(stage, toy.run, toy.config):
            raise ending("not wanted")
    with pytest.raises(ValueError, match="bad"), noted("preprocess", toy.run, toy.config):
        raise ValueError("bad")
    with noted("train", toy.run, toy.config):
        pass
    assert waiting(toy) == []
    assert set(facts_of(toy.run).code_sha256) == {"train"}


def test_switched_off_it_leaves_no_trace(toy: ToyRun) -> None:
    off = toy.config.model_copy(update={"tracking": TrackingConfig(enabled=False)})
    with noted("gate", toy.run, off):
        pass
    assert not (toy.run.root / "tracking").exists()


def test_a_full_disk_does_not_fail_the_stage(toy: ToyRun, caplog: pytest.LogCaptureFixture) -> None:
    (toy.run.root / "tracking").write_text("a file where the folder should be")
    assert gate_of(toy).passed
    assert "gate is not noted for MLflow" in caplog.text


def test_stages_are_noted_as_airflow_and_the_command_line_start_them(
    toy: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate that cannot judge, in Airflow; the run is found again there by its ids."""
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "mammography_retraining")
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", toy.run.run_id)
    (toy.run.stage("evaluate") / "metrics.json").write_text('{"edited": true}')
    with pytest.raises(MetricError):
        run_stage("gate", toy.run.run_id, toy.run.config)
    (run,) = noted_runs(client_of(toy))
    assert run.data.tags["failed_stage"] == "gate"
    assert not any(name.startswith("test/") for name in run.data.metrics)
    assert run.data.tags["airflow_run_id"] == toy.run.run_id
    assert run.data.tags["airflow_dag_id"] == "mammography_retraining"
    assert len(run.data.tags["code_sha256"]) == 64
