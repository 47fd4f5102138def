"""The database of the stack: made once and whole, by password only, kept over restarts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import docker
import pytest
from docker.models.containers import Container

from ml_tasks.deployment.images.image_ref import ImageRef
from ml_tasks.release.serving_base import checkout_file

IMAGE = "mammography-postgres:15"
PASSWORD = 'it\'s a "long" one'
DATA = "/var/lib/postgresql/data"
Start = Callable[[], Container]


@pytest.fixture
def start(engine: docker.DockerClient, base_images: tuple[ImageRef, ...]) -> Iterator[Start]:
    """Starts the server on a volume of its own; a second call goes on with that volume."""
    assert IMAGE in {image.name for image in base_images}
    volume = engine.volumes.create(f"mammo-test-postgres-{uuid4().hex[:8]}")
    script = str(checkout_file("docker/postgres.sh"))
    started: list[Container] = []

    def begin() -> Container:
        container = engine.containers.run(
            IMAGE, entrypoint=["sh", "/postgres.sh"], detach=True, user="999:999", read_only=True,
            tmpfs={"/tmp": ""}, environment={"POSTGRES_PASSWORD": PASSWORD},
            volumes=[f"{volume.name}:{DATA}", f"{script}:/postgres.sh:ro"],
        )  # fmt: skip
        started.append(container)
        return container

    yield begin
    for container in started:
        container.remove(force=True)
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


def _wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.1)


def _ready(server: Container) -> bool:
    return bool(server.exec_run(["pg_isready", "-q", "-h", "127.0.0.1"])[0] == 0)


def _log(server: Container) -> str:
    return bytes(server.logs()).decode()


def test_a_first_start_that_is_killed_leaves_no_half_database(start: Start) -> None:
    first = start()
    _wait(lambda: "performing post-bootstrap" in _log(first))
    first.kill()
    second = start()
    _wait(lambda: _ready(second))
    assert "performing post-bootstrap" in _log(second), "it was begun anew"
    assert _ask(second, "CREATE TABLE kept AS SELECT 7 AS it; SELECT it FROM kept")[0] == 0
    second.kill()  # as after a power cut
    third = start()
    _wait(lambda: _ready(third))
    assert "performing post-bootstrap" not in _log(third)
    assert _ask(third, "SELECT it FROM kept") == (0, "7\n")


def test_only_the_right_password_opens_it(start: Start) -> None:
    server = start()
    _wait(lambda: _ready(server))
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
        assert container.wait(timeout=30)["StatusCode"] == 1
        assert "holds files but no database; move them away" in _log(container)
    finally:
        container.remove(force=True)
    assert (tmp_path / "pgdata" / "notes.txt").read_text() == "somebody's"
