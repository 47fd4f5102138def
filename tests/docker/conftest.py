"""A real engine, a real registry, and a toy run that has passed its gate."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from docker import DockerClient

from ml_tasks.build_image import build_image
from ml_tasks.errors import StackError
from ml_tasks.records import ImageRecord
from ml_tasks.release.engine import connect
from tests.conftest import unavailable
from tests.docker.engine_proxy import EngineProxy
from tests.docker.image_tags import tags_of
from tests.docker.light_release import said_to_be_tested
from tests.docker.registry_process import RegistryProcess, debians_registry
from tests.toy_run import ToyRun, make_toy_run


@pytest.fixture(scope="session")
def repository(engine: DockerClient) -> Iterator[str]:
    """A repository name of this session's own; its images are removed at the end."""
    name = f"mammography-toy-{uuid4().hex[:8]}"
    yield name
    # By tag: an image that another one was built from goes with the last tag of that one.
    for tag in tags_of(engine, name):
        engine.images.remove(tag)


@pytest.fixture(scope="session")
def registry_of_session(
    machine: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryProcess]:
    try:
        program = debians_registry(machine)
    except StackError as error:
        unavailable(f"needs an image registry: {error}")
    process = RegistryProcess(program, tmp_path_factory.mktemp("registry"))
    yield process
    process.stop()


@pytest.fixture
def registry(registry_of_session: RegistryProcess) -> RegistryProcess:
    """Answers at the start of each test; the base's layers are pushed into it only once."""
    registry_of_session.start()
    return registry_of_session


@pytest.fixture
def toy(tmp_path: Path, serving_base: str, repository: str) -> ToyRun:
    """A run that has passed its gate; no registry answers at its address."""
    return make_toy_run(tmp_path / "toy", image=repository)


@pytest.fixture
def built(toy: ToyRun, engine: DockerClient) -> ImageRecord:
    return build_image(toy.run, toy.config, engine)


@pytest.fixture
def tested(
    tmp_path: Path,
    serving_base: str,
    repository: str,
    registry: RegistryProcess,
    engine: DockerClient,
) -> ToyRun:
    """A run whose image is built, said to be tested, at a registry that has none of it yet."""
    image = f"{repository}-{uuid4().hex[:8]}"
    toy = make_toy_run(tmp_path / "toy", image=image, registry=registry.address)
    build_image(toy.run, toy.config, engine)
    said_to_be_tested(toy)
    return toy


@pytest.fixture
def proxy(engine: DockerClient) -> Iterator[EngineProxy]:
    """The engine behind a socket that a test can cut."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        pytest.skip(f"the engine at {address} is not behind a socket of this machine")
    proxy = EngineProxy(address.removeprefix("unix://"))
    yield proxy
    proxy.close()


@pytest.fixture
def through(proxy: EngineProxy) -> Iterator[Callable[[], DockerClient]]:
    """Makes clients of the engine that go through the proxy."""
    clients: list[DockerClient] = []

    def make() -> DockerClient:
        clients.append(connect(address=proxy.address))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
