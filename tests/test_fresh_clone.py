"""What a new user does: clone, `make demo`, look, `make stop`; nothing else by hand."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ml_tasks.local_stack import processes
from ml_tasks.local_stack.engine import Engine
from ml_tasks.local_stack.ports import is_free
from tests.free_ports import free_ports
from tests.waiting import PATIENCE

PROJECT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.full
NAMES = ("AIRFLOW_PORT", "REGISTRY_PORT", "TENSORBOARD_PORT", "MLFLOW_PORT", "SERVICE_PORT")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("fresh") / "clone"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(folder)], check=True)
    yield folder
    _make(folder, "stop", {})


def test_make_demo_ships_an_image_that_answers_and_make_stop_ends_it_all(
    clone: Path, engine_place: Engine
) -> None:
    ports = dict(zip(NAMES, map(str, free_ports(len(NAMES))), strict=True))
    done = _make(clone, "demo", ports)
    assert done.returncode == 0, done.stdout[-4000:]
    for words in ("PASSED the gate", "push_model", "sha256:", "password", "make stop"):
        assert words in done.stdout
    picture = next((clone / "data/raw/Positive").glob("*.png"))
    address = f"http://localhost:{ports['SERVICE_PORT']}"
    curves = f"http://localhost:{ports['TENSORBOARD_PORT']}/mammography/tensorboard/data/runs"
    mlflow = f"http://localhost:{ports['MLFLOW_PORT']}/api/2.0/mlflow/registered-models/alias"
    name = {"name": "mammography-inference", "alias": "production"}
    with httpx.Client(timeout=PATIENCE, trust_env=False) as http:
        film = {"file": picture.read_bytes()}
        answer = http.post(f"{address}/inference/predict", files=film)
        assert answer.json()["prediction"] == "Positive"
        assert http.get(curves).json(), "TensorBoard shows no run"
        assert http.get(mlflow, params=name).status_code == 200
    stopped = _make(clone, "stop", ports)
    assert stopped.returncode == 0
    assert [p for p in processes.listed(clone / ".local") if p.alive] == []
    assert all(is_free(int(port)) for port in ports.values())


def test_without_docker_the_image_stages_are_skipped_with_the_reason(clone: Path) -> None:
    ports = dict(zip(NAMES, map(str, free_ports(len(NAMES))), strict=True))
    done = _make(clone, "demo", {**ports, "SKIP_DOCKER": "1"})
    assert done.returncode == 0, done.stdout[-4000:]
    for stage in ("build_image", "smoke_test", "push_model"):
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"  {stage}"))
        assert "skipped" in line
    assert "SKIP_DOCKER" in done.stdout


def test_what_demo_leaves_is_not_in_the_way_of_make_test(clone: Path) -> None:
    """A folder of a run may have the name of a package that is imported."""
    for name in ("data", "mlflow", "releases", "runs"):
        (clone / name).mkdir(exist_ok=True)
    done = _make(clone, "lint", {})
    assert done.returncode == 0, done.stdout[-4000:]


def _make(
    folder: Path, target: str, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", target],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
