"""Airflow's page over a toy project: everything is there to be shown, and nothing was trained.

Nothing runs tasks, so that a run of each of the project's ids stands in the page with its tasks.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ml_tasks.local_stack import processes
from ml_tasks.local_stack.airflow import AirflowSettings, login
from ml_tasks.local_stack.airflow_api import AirflowApi
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.pages.site import ROLLBACK
from ml_tasks.pages.tensorboard import PATH
from tests.conftest import PROJECT
from tests.free_ports import free_ports
from tests.pages.curves import write_curves
from tests.pages.toy_project import FAILED, NEWER, REJECTED, SHIPPED, Project, make_project
from tests.plugins.pages_server import api_server
from tests.waiting import until

HAS_ROLLBACK = (PROJECT / "dags" / f"{ROLLBACK}.py").is_file()


@dataclass(frozen=True)
class ToyAirflow:
    """The running Airflow, its project and its login."""

    api: AirflowApi
    project: Project
    url: str
    user: str
    password: str


@contextmanager
def toy_airflow(root: Path, registry: str = "localhost:1") -> Iterator[ToyAirflow]:
    """Starts api-server and TensorBoard on a toy project below `root`; ends both."""
    project = make_project(root / "project", registry)
    for name in ("dags", "plugins"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, project.root / name, ignore=ignored)
    for run_id in (FAILED, NEWER):
        write_curves(project.run(run_id).logs)
    state, (port, tensorboard) = root / "state", free_ports(2)
    _start_tensorboard(state, project.config.paths.runs, tensorboard)
    extra = {"MAMMO_TENSORBOARD": f"http://127.0.0.1:{tensorboard}"}
    settings = AirflowSettings(state, port, project.root, project.file, extra)
    try:
        with api_server(settings), AirflowApi(settings.url, *login(settings)) as api:
            for run_id in (SHIPPED, NEWER, FAILED, REJECTED):
                api.trigger(DAG_ID, {}, run_id)
            yield ToyAirflow(api, project, settings.url, *login(settings))
    finally:
        processes.stop(state, "tensorboard")


def _start_tensorboard(state: Path, runs: Path, port: int) -> None:
    program = Path(sys.executable).absolute().parent / "tensorboard"
    where = ["--logdir", str(runs), "--host", "127.0.0.1", "--port", str(port)]
    processes.start(state, "tensorboard", [str(program), *where, "--path_prefix", PATH])
    address = f"http://127.0.0.1:{port}{PATH}/data/runs"
    until(lambda: _answer(address), "TensorBoard has not come up")


def _answer(address: str) -> bool:
    try:
        return bool(httpx.get(address, trust_env=False).json())
    except (httpx.HTTPError, ValueError):
        return False
