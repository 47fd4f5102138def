"""What the tests of this folder share: an Airflow with the stack's login, a stack with a backup."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from docker import DockerClient

from ml_tasks.local_stack.airflow import AirflowSettings
from tests.conftest import PROJECT
from tests.deployment.access import Access, new_passwords
from tests.deployment.access_server import access_server
from tests.deployment.account_desk import Desk
from tests.deployment.kept_stack import KeptStack, backed_up_stack
from tests.free_ports import free_ports
from tests.pages.toy_project import make_project


@pytest.fixture(scope="session")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    root = tmp_path_factory.mktemp("access")
    state = root / "state"
    state.mkdir()
    settings = AirflowSettings(state, free_ports(1)[0], PROJECT, make_project(root / "toy").file)
    passwords = new_passwords()
    with access_server(settings, passwords) as environment:
        routes = json.loads((state / "routes.json").read_text())
        made = Access(settings, passwords, environment, routes)
        yield made
        for client in made.people.values():
            client.close()


@pytest.fixture(scope="module")
def desk(access: Access) -> Iterator[Desk]:
    """Where accounts are made and changed, beside the running server."""
    started = Desk(access.environment)
    yield started
    started.close()


@pytest.fixture(scope="session")
def kept_stack(
    tmp_path_factory: pytest.TempPathFactory,
    engine: DockerClient,
    compose_installed: None,
    stack_images: object,
    base_images: object,
) -> Iterator[KeptStack]:
    """With a real Postgres, registry and releases."""
    with backed_up_stack(tmp_path_factory.mktemp("kept"), engine) as kept:
        yield kept
