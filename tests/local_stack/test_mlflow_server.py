"""MLflow's page in the demo: started where it is wanted, never a second one, ports named."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ml_tasks.config import Config, PathsConfig
from ml_tasks.config_tracking import TrackingConfig
from ml_tasks.errors import StackError
from ml_tasks.local_stack import processes
from ml_tasks.local_stack.mlflow_server import PROCESS, ensure_mlflow, server_command
from ml_tasks.tracking.place import URI, place_of


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(paths=PathsConfig(tracking=tmp_path / "mlflow"))


def test_a_taken_port_is_named_with_its_holder(tmp_path: Path, config: Config) -> None:
    with socket.create_server(("0.0.0.0", 0)) as holder:
        port = holder.getsockname()[1]
        message = rf"port {port} is taken by pid {os.getpid()}.*; stop it or set MLFLOW_PORT"
        with pytest.raises(StackError, match=message):
            ensure_mlflow(tmp_path, config, port, environment={})


def test_where_a_server_is_named_its_page_is_told_and_no_other_is_started(
    tmp_path: Path, config: Config
) -> None:
    told = ensure_mlflow(tmp_path, config, 1, environment={URI: "http://me:s3cret@team:5000"})
    assert told == "http://team:5000"
    assert processes.listed(tmp_path) == []


def test_switched_off_there_is_no_page(tmp_path: Path, config: Config) -> None:
    off = config.model_copy(update={"tracking": TrackingConfig(enabled=False)})
    assert ensure_mlflow(tmp_path, off, 1, environment={}) is None
    assert processes.listed(tmp_path) == []


def test_a_page_that_runs_already_is_used_again_and_ended_by_stop(
    tmp_path: Path, config: Config
) -> None:
    """Under the name by which `make stop` finds it, though it takes no request here."""
    command = server_command(place_of(config, {}), 1)
    started = processes.start(tmp_path, PROCESS, ["sleep", "600"])
    record = started.model_copy(update={"command": tuple(command)})
    (tmp_path / "processes" / f"{PROCESS}.json").write_text(record.model_dump_json())
    assert ensure_mlflow(tmp_path, config, 1, environment={}) == "http://localhost:1"
    assert processes.stop(tmp_path, PROCESS)
    assert not started.alive
