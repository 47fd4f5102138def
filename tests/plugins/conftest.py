"""Airflow's api-server with the pages of a toy project, logged in and not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from ml_tasks.local_stack.airflow import AirflowSettings, login
from tests.conftest import PROJECT
from tests.free_ports import free_ports
from tests.pages.toy_project import Project, make_project
from tests.plugins.pages_server import api_server
from tests.waiting import PATIENCE


@dataclass(frozen=True)
class Server:
    """A running api-server; `routes`: path and methods of each of the plugin's routes."""

    project: Project
    anonymous: httpx.Client
    user: httpx.Client
    routes: list[tuple[str, list[str]]]
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
    with (
        api_server(settings) as routes,
        httpx.Client(base_url=settings.url, timeout=PATIENCE, trust_env=False) as anonymous,
        httpx.Client(base_url=settings.url, timeout=PATIENCE, trust_env=False) as user,
    ):
        name, password = login(settings)
        given = user.post("/auth/token", json={"username": name, "password": password})
        user.headers["Authorization"] = f"Bearer {given.json()['access_token']}"
        yield Server(toy_project, anonymous, user, routes, tensorboard)
