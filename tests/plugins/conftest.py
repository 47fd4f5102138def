"""Airflow's api-server with the pages of a toy project, logged in and not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ml_tasks.local_stack.airflow import AirflowSettings, login, write_environment
from ml_tasks.local_stack.ports import free_ports
from tests.conftest import PROJECT
from tests.pages.toy_project import Project, make_project

_SECONDS = 120


@dataclass(frozen=True)
class Server:
    """A running api-server; `routes`: path and methods of each of the plugin's routes."""

    project: Project
    anonymous: httpx.Client
    user: httpx.Client
    routes: list[tuple[str, list[str]]]
    home: Path
    tensorboard: int  # the port at which it will look for TensorBoard


@pytest.fixture(scope="session")
def toy_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def server(toy_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    state = tmp_path_factory.mktemp("api_server")
    port, tensorboard = free_ports(2)
    extra = {"MAMMO_TENSORBOARD": f"http://127.0.0.1:{tensorboard}"}
    settings = AirflowSettings(state, port, PROJECT, toy_project.file, extra)
    environment = {**write_environment(settings), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "tests.plugins.pages_server", str(state), str(port)]
    with (state / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=PROJECT)
    try:
        anonymous = httpx.Client(base_url=settings.url, timeout=30, trust_env=False)
        _wait(anonymous, process, state / "log")
        user = httpx.Client(base_url=settings.url, timeout=30, trust_env=False)
        name, password = login(settings)
        given = user.post("/auth/token", json={"username": name, "password": password})
        user.headers["Authorization"] = f"Bearer {given.json()['access_token']}"
        routes = json.loads((state / "routes.json").read_text())
        yield Server(toy_project, anonymous, user, routes, state, tensorboard)
        anonymous.close()
        user.close()
    finally:
        process.terminate()
        process.wait(30)


def _wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            client.get("/mammography/models")
            return
        except httpx.TransportError:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
