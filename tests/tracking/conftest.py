"""What the tests of tracking share: a real MLflow server, and an MLflow that tells nobody."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ml_tasks.config import Config, PathsConfig
from ml_tasks.config_tracking import TrackingConfig
from ml_tasks.local_stack import processes
from ml_tasks.local_stack.mlflow_server import PROCESS, ensure_mlflow
from ml_tasks.tracking.place import QUIET, URI, environment_for_mlflow
from ml_tasks.tracking.process import register_apart
from tests.free_ports import free_ports
from tests.tracking.proxy import Proxy, proxy
from tests.waiting import PATIENCE

ANSWERS = "MLFLOW_HTTP_REQUEST_TIMEOUT"


@pytest.fixture(autouse=True)
def no_other_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment decides where the tests' runs are noted.

    A server that does answer may take its time, on a busy machine.
    """
    monkeypatch.delenv(URI, raising=False)
    bounds = environment_for_mlflow({}) | {ANSWERS: f"{PATIENCE:.0f}"}
    for name in (*QUIET, ANSWERS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(name, bounds[name])


@pytest.fixture(scope="session")
def blank_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database with its tables and nothing in them: making them takes seconds."""
    root = tmp_path_factory.mktemp("blank")
    paths = PathsConfig(tracking=root, runs=root / "runs")
    config = Config(paths=paths, tracking=TrackingConfig(experiment="blank"))
    outcome = register_apart(config, ["of no run"], PATIENCE)
    assert set(outcome.failed) == {"of no run"}, outcome
    return config.paths.tracking / "mlflow.db"


@pytest.fixture
def database(blank_database: Path, tmp_path: Path) -> Path:
    """A database of the test's own, where `told_run` looks for it."""
    (tmp_path / "mlflow").mkdir()
    return Path(shutil.copyfile(blank_database, tmp_path / "mlflow" / "mlflow.db"))


@dataclass(frozen=True)
class Server:
    """A running server, the folder of its database, and the proxy that it would call through."""

    address: str
    folder: Path
    outside: Proxy


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as `make demo` starts it, with a database of its own."""
    state = tmp_path_factory.mktemp("mlflow")
    config = Config(paths=PathsConfig(tracking=state / "store"))
    with proxy() as outside:
        address = ensure_mlflow(state, config, free_ports(1)[0], outside.environment)
        assert address is not None
        _wait(state, address)
        yield Server(address, state / "store", outside)
        processes.stop(state, PROCESS)


def _wait(state: Path, address: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(processes.tail(state / "logs" / f"{PROCESS}.log"))
