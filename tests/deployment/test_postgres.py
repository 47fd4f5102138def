"""The database of the stack: made once and whole, by password only, kept over restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import docker
import pytest
from docker.errors import NotFound
from docker.models.containers import Container
from docker.models.volumes import Volume

from ml_tasks.deployment.images.image_ref import ImageRef
from ml_tasks.release.serving_base import checkout_file
from tests.waiting import PATIENCE, until

IMAGE = "mammography-postgres:15"
PASSWORD = 'it\'s a "long" one'
DATA = "/var/lib/postgresql/data"
TRIES = 10  # of which one shall be killed while it makes the database


class Start(Protocol):
    """Starts the server, on a `fresh` volume or on that of the start before."""

    def __call__(self, fresh: bool = False) -> Container: ...


@pytest.fixture
def start(engine: docker.DockerClient, base_images: tuple[ImageRef, ...]) -> Iterator[Start]:
    """Ends all that was started, and removes the volumes."""
    assert IMAGE in {image.name for image in base_images}
    script = str(checkout_file("docker/postgres.sh"))
    started, volumes = list[Container](), list[Volume]()

    def begin(fresh: bool = False) -> Container:
        if fresh or not volumes:
            volumes.append(engine.volumes.create(f"mammo-test-postgres-{uuid4().hex[:8]}"))
        container = engine.containers.run(
            IMAGE, entrypoint=["sh", "/postgres.sh"], detach=True, user="999:999", read_only=True,
            tmpfs={"/tmp": ""}, environment={"POSTGRES_PASSWORD": PASSWORD},
            volumes=[f"{volumes[-1].name}:{DATA}", f"{script}:/postgres.sh:ro"],
        )  # fmt: skip
        started.append(container)
        return container

    yield begin
    for container in started:
        container.remove(force=True)
    for volume in volumes:
        volume.remove(force=True)


def _ask(server: Container, sql: str, password: str = PASSWORD) -> tuple[int, str]:
    """Over the network address, as another container asks; exit status and what was said."""
    server.reload()
    address = server.attrs["NetworkSettings"]["IPAddress"]
    command = ["psql", "-w", "-h", address, "-U", "airflow", "-tAc", sql]
    return _run(server, command, password)


def _run(server: Container, command: list[str], password: str = "") -> tuple[int, str]:
    environment = {"PGPASSWORD": password} if password else {}
    status, said = server.exec_run(command, environment=environment)
    assert isinstance(status, int) and isinstance(said, bytes)
    return status, said.decode()


def _wait_until_ready(server: Container) -> None:
    asked = ["pg_isready", "-q", "-h", "127.0.0.1"]
    until(lambda: server.exec_run(asked)[0] == 0, "the server does not take connections")


def _log(server: Container) -> str:
    return bytes(server.logs()).decode()


def _killed_half_way(start: Start) -> bool:
    """Kills a first start that has begun; whether it was caught before its database was whole."""
    first = start(fresh=True)
    until(lambda: "performing post-bootstrap" in _log(first), "no database was ever begun")
    first.kill()
    try:
        first.get_archive(f"{DATA}/pgdata/PG_VERSION")
    except NotFound:
        return True
    return False


def test_a_first_start_that_is_killed_leaves_no_half_database(start: Start) -> None:
    # On a busy machine its end may have come before its beginning was seen.
    assert any(_killed_half_way(start) for _ in range(TRIES)), "each one was over already"
    second = start()
    _wait_until_ready(second)
    assert "performing post-bootstrap" in _log(second), "it was begun anew"
    assert _ask(second, "CREATE TABLE kept AS SELECT 7 AS it; SELECT it FROM kept")[0] == 0
    second.kill()  # as after a power cut
    third = start()
    _wait_until_ready(third)
    assert "performing post-bootstrap" not in _log(third)
    assert _ask(third, "SELECT it FROM kept") == (0, "7\n")


def test_only_the_right_password_opens_it(start: Start) -> None:
    server = start()
    _wait_until_ready(server)
    assert _ask(server, "SELECT 1") == (0, "1\n")
    status, said = _ask(server, "SELECT 1", password="airflow")
    assert status != 0 and "password authentication failed" in said
    for place in ("/tmp", "127.0.0.1"):
        words = ["psql", "-w", "-h", place, "-U", "airflow", "-tAc", "SELECT 1"]
        status, said = _run(server, words)
        assert status != 0 and "no password supplied" in said, place
    rules = _run(server, ["cat", f"{DATA}/pgdata/pg_hba.conf"])[1]
    methods = {line.split()[-1] for line in rules.splitlines() if line and line[0] != "#"}
    assert methods == {"scram-sha-256"}
    assert PASSWORD not in _log(server)


def test_files_that_are_no_database_are_not_touched(
    engine: docker.DockerClient, base_images: tuple[ImageRef, ...], tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "pgdata").mkdir()
    (tmp_path / "pgdata" / "notes.txt").write_text("somebody's")
    script = str(checkout_file("docker/postgres.sh"))
    container = engine.containers.run(
        IMAGE, entrypoint=["sh", "/postgres.sh"], detach=True, user="999:999",
        environment={"POSTGRES_PASSWORD": PASSWORD},
        volumes=[f"{tmp_path}:{DATA}", f"{script}:/postgres.sh:ro"],
    )  # fmt: skip
    try:
        assert container.wait(timeout=PATIENCE)["StatusCode"] == 1
        assert "holds files but no database; move them away" in _log(container)
    finally:
        container.remove(force=True)
    assert (tmp_path / "pgdata" / "notes.txt").read_text() == "somebody's"
