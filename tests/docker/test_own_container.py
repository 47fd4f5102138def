"""A worker in a container, as docker-compose's builder: it must reach what it tests, and only then.

Between two of its networks the engine lets nothing through, so a worker has to join the one of the
tested image, and to leave it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient
from docker.errors import NotFound
from docker.models.containers import Container

from ml_tasks.build_image import build_image
from ml_tasks.release.container import isolated, mark_of, remove_marked
from ml_tasks.release.own_container import own_container
from tests.toy_run import ToyRun
from tests.waiting import PATIENCE

pytestmark = pytest.mark.docker

_ASK = f"""
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1] + "/ready", timeout={PATIENCE}).status)
"""


@pytest.fixture
def worker(engine: DockerClient, serving_base: str) -> Iterator[Container]:
    """A container beside the tests, which stands for the one that a worker runs in."""
    container = engine.containers.run(serving_base, ["sleep", "300"], detach=True)
    yield container
    container.remove(force=True)


def output(container: Container, *command: str) -> str:
    done = container.exec_run(list(command))
    assert done.exit_code == 0 and isinstance(done.output, bytes), done.output
    return done.output.decode()


def test_a_worker_in_a_container_finds_itself(
    engine: DockerClient, serving_base: str, worker: Container, tmp_path: Path
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(output(worker, "cat", "/proc/self/mountinfo"))
    found = own_container(engine, mounts)
    assert found is not None and found.id == worker.id
    mounts.write_text(mounts.read_text().replace(str(worker.id), "0" * 64))
    assert own_container(engine, mounts) is None  # of another engine
    assert own_container(engine, tmp_path / "missing") is None
    shared = engine.containers.run(serving_base, ["sleep", "300"], detach=True, network="host")
    try:
        mounts.write_text(output(shared, "cat", "/proc/self/mountinfo"))
        assert own_container(engine, mounts) is None  # it reaches everything as it is
    finally:
        shared.remove(force=True)


def test_it_joins_the_network_of_the_tested_image_and_leaves_it(
    engine: DockerClient, toy: ToyRun, worker: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = build_image(toy.run, toy.config, engine)
    monkeypatch.setattr("ml_tasks.release.container.own_container", lambda _: worker)
    before, network = output(worker, "cat", "/proc/net/route"), ""
    with isolated(engine, image.image_id, str(toy.run.root)) as running, running.http as http:
        running.wait_until_ready(PATIENCE)
        assert output(worker, "python", "-c", _ASK, str(http.base_url)).strip() == "200"
        default = [line for line in before.splitlines() if line.split()[1] == "00000000"]
        assert set(default) <= set(output(worker, "cat", "/proc/net/route").splitlines())
        (network,) = running.container.attrs["NetworkSettings"]["Networks"]
        assert running.outward() == []
    worker.reload()
    assert set(worker.attrs["NetworkSettings"]["Networks"]) == {"bridge"}
    with pytest.raises(NotFound):
        engine.networks.get(network)


def test_what_a_killed_worker_had_joined_is_removed(
    engine: DockerClient, worker: Container, tmp_path: Path
) -> None:
    mark = mark_of(str(tmp_path))
    name, _, value = mark.partition("=")
    network = engine.networks.create(f"mammography-smoke-{value}", labels={name: value})
    network.connect(worker)
    remove_marked(engine, mark)
    with pytest.raises(NotFound):
        engine.networks.get(str(network.id))
