"""What MLflow is told holds no patient and no folder of this machine, and nobody else is told."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from ml_tasks.config import load_config, save_config
from ml_tasks.tracking.content import content_of
from ml_tasks.tracking.process import register_apart
from ml_tasks.tracking.registration import register
from tests.tracking.conftest import Server
from tests.tracking.proxy import proxy
from tests.tracking.runs import release, told_run
from tests.waiting import PATIENCE


def test_of_patients_and_folders_nothing_is_told(tmp_path: Path, database: Path) -> None:
    toy = told_run(tmp_path)
    release(toy)
    weights = tmp_path / "hospital" / "start.weights.h5"
    weights.parent.mkdir()
    weights.write_bytes(b"")
    changed = load_config(toy.run.config, {"model.weights": str(weights), "split.key": "k3y"})
    save_config(changed, toy.run.config)
    content = content_of(toy.run)
    assert content.parameters["model.weights"] == "start.weights.h5"
    told = repr((content.parameters, content.tags, [f.told for f in content.figures]))
    for word in ("P0", "P1", "k3y", "hospital", str(tmp_path)):
        assert word not in told
    assert b"P03" in (toy.run.stage("evaluate") / "report.html").read_bytes()
    assert register(toy.config, [toy.run.run_id]).complete
    kept = [path for path in (tmp_path / "mlflow").rglob("*") if path.is_file()]
    assert "metrics.json" in {path.name for path in kept}
    assert not [path for path in kept if b"P03" in path.read_bytes()]
    assert not {path.suffix for path in kept} & {".csv", ".npz", ".dcm", ".html"}


def test_no_outside_address_is_called(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that writes down who calls: MLflow's own telemetry would go through it."""
    toy = told_run(tmp_path)
    with proxy() as outside:
        for name, address in outside.environment.items():
            monkeypatch.setenv(name, address)
        # MLflow is silent by itself where it takes itself to be tested.
        for name in set(os.environ) & {"CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST"}:
            monkeypatch.delenv(name)
        for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
            monkeypatch.delenv(name, raising=False)
        assert register_apart(toy.config, [toy.run.run_id], PATIENCE).complete
    assert outside.calls == []


def test_the_server_and_its_page_call_nobody_either(server: Server) -> None:
    for path in ("/", "/ajax-api/3.0/mlflow/ui-telemetry"):
        url = f"{server.address}{path}"
        httpx.get(url, timeout=PATIENCE, trust_env=False).raise_for_status()
    assert server.outside.calls == []
