"""Backup and restore of what the stack keeps, with a real Postgres, registry and releases."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from docker import DockerClient

from ml_tasks.deployment import restore as restoring
from ml_tasks.deployment import stack
from ml_tasks.deployment.archive import BACKUP, open_archive
from ml_tasks.deployment.backup import Kept, back_up
from ml_tasks.deployment.compose import Compose
from ml_tasks.deployment.restore import restore
from ml_tasks.deployment.settings_file import NAME, change_settings
from ml_tasks.errors import ArchiveRefused, StackError
from ml_tasks.records import ReleaseRecord
from ml_tasks.storage import locked
from tests.deployment.small_stack import (
    CHECKOUT,
    SmallStack,
    end_small_stack,
    set_up_here,
    start_small_stack,
)

SECRETS = ("AIRFLOW_FERNET_KEY", "POSTGRES_PASSWORD", "MAMMO_PSEUDONYM_KEY")
NOBODY = 65534


@dataclass(frozen=True)
class KeptStack:
    """A stack with two releases, its backup, and what there was when that was made."""

    running: SmallStack
    kept: Kept
    releases: list[ReleaseRecord]
    files: dict[str, str]
    secrets: dict[str, str]
    port: int

    def lose(self) -> None:
        """Everything but the archive is gone."""
        self.running.destroy()
        set_up_here(self.running.project, self.port)

    def check(self) -> None:
        """All is as it was."""
        assert files_of(self.running.shared) == self.files
        assert secrets_of(self.running) == self.secrets
        assert self.running.sql("airflow", "SELECT count(*), sum(n) FROM kept") == "1000|500500"
        assert self.running.sql("mlflow", "SELECT words FROM kept") == "Größe"


def files_of(shared: Path) -> dict[str, str]:
    """What must come back: hash of each file, by name."""
    return {
        str(path.relative_to(shared)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("releases", "splits", "snapshots", "statistics", "runs")
        for path in sorted((shared / folder).rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def secrets_of(running: SmallStack) -> dict[str, str]:
    return {name: running.compose.settings[name] for name in SECRETS}


@pytest.fixture(scope="module")
def kept_stack(
    tmp_path_factory: pytest.TempPathFactory,
    engine: DockerClient,
    compose_installed: None,
    stack_images: object,
    base_images: object,
) -> Iterator[KeptStack]:
    """It is shared by the tests, which all leave it as it was."""
    project = tmp_path_factory.mktemp("kept")
    running = start_small_stack(project)
    try:
        numbers = "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n"
        running.sql("airflow", numbers)
        running.sql("mlflow", "CREATE TABLE kept AS SELECT 'Größe' AS words")
        releases = running.release(engine, 2)
        (running.shared / "splits" / "ledger.csv").write_text("patient,split\n")
        (running.shared / "statistics" / "day.jsonl").write_text("{}\n")
        running.compose.exec("mlflow", ["sh", "-c", "echo model > /opt/airflow/mlflow/model"])
        said: list[str] = []
        kept = back_up(project, project.parent / "backups", said.append)
        assert said[-1].startswith("it holds every secret")
        port = int(running.compose.settings["REGISTRY_PORT"])
        yield KeptStack(
            running, kept, releases, files_of(running.shared), secrets_of(running), port
        )
    finally:
        end_small_stack(running)


def test_everything_comes_back_after_everything_was_lost(kept_stack: KeptStack) -> None:
    kept_stack.lose()
    said: list[str] = []
    restore(kept_stack.running.project, kept_stack.kept.path, said.append)
    kept_stack.check()
    last, told = kept_stack.releases[-1], "\n".join(said)
    assert "2 release(s): every file is as its SHA256SUMS says" in told
    assert "the audit log is whole and agrees with the ledger" in told
    assert f"production is {last.version} ({last.digest}), by registry and ledger" in told
    assert ":production: verified" in told
    model = kept_stack.running.compose.exec("mlflow", ["cat", "/opt/airflow/mlflow/model"])
    assert model == "model\n"


def test_the_archive_is_private_and_says_what_was_in_production(kept_stack: KeptStack) -> None:
    assert kept_stack.kept.path.stat().st_mode & 0o777 == 0o600
    about = open_archive(kept_stack.kept.path, BACKUP).about
    last = kept_stack.releases[-1]
    assert about["production"] == {"version": last.version, "digest": last.digest}


def test_where_a_stack_is_nothing_is_touched(kept_stack: KeptStack) -> None:
    with pytest.raises(StackError, match="here is a stack already.*postgres-data.*--replace"):
        restore(kept_stack.running.project, kept_stack.kept.path, lambda _: None)
    kept_stack.check()


@pytest.mark.parametrize("replace", [False, True])
def test_a_stack_that_no_file_of_settings_knows_is_not_touched(
    kept_stack: KeptStack, replace: bool
) -> None:
    """As in a second clone on the stack's own machine: it could not be backed up first."""
    file = kept_stack.running.project / NAME
    settings = file.read_text()
    # The archive names the stack, as .env did.
    file.write_text("MAMMO_PROFILES=cpu\n")
    try:
        with pytest.raises(StackError, match=r"postgres-data.* does not know it"):
            restore(kept_stack.running.project, kept_stack.kept.path, lambda _: None, replace)
        assert file.read_text() == "MAMMO_PROFILES=cpu\n"
    finally:
        file.write_text(settings)
    kept_stack.check()


def test_secrets_are_those_of_then_all_else_is_this_machines(
    kept_stack: KeptStack, tmp_path: Path
) -> None:
    archive = open_archive(kept_stack.kept.path, BACKUP)
    change_settings(tmp_path, {"REGISTRY_PORT": "1", "POSTGRES_PASSWORD": "drawn here"})
    found = restoring._settings(tmp_path, archive)
    assert found["REGISTRY_PORT"] == "1"
    assert {name: found[name] for name in SECRETS} == kept_stack.secrets
    assert found["COMPOSE_PROJECT_NAME"] == kept_stack.running.compose.name
    assert found["MAMMO_SHARED"] == str(tmp_path / "shared"), "the usual place, of this checkout"
    assert not {"MAMMO_UID", "DOCKER_GID"} & set(found)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_restored_by_who_is_not_root_the_service_may_go_on_writing(kept_stack: KeptStack) -> None:
    """Its statistics were its own; they belong to who restores now."""
    with TemporaryDirectory() as name:
        project = Path(name)
        project.chmod(0o777)
        shutil.copy(CHECKOUT / "config.yaml", project)
        settings = {"MAMMO_SHARED": str(project / "shared"), "MAMMO_UID": str(NOBODY)}
        archive = project / "archive.tar"
        shutil.copy(kept_stack.kept.path, archive)
        archive.chmod(0o644)
        child = os.fork()
        if child == 0:  # pragma: no cover
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            status = 1
            with suppress(BaseException):
                opened = open_archive(archive, BACKUP)
                restoring._files(Compose(project, settings), opened, lambda _: None)
                status = 0
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        day = project / "shared" / "statistics" / "day.jsonl"
        assert day.stat().st_uid == NOBODY
        assert day.stat().st_mode & 0o777 == 0o666


@pytest.mark.full
def test_a_service_that_does_not_come_back_is_an_error(kept_stack: KeptStack) -> None:
    """All data are back; but whoever reads the end of it shall not believe that all is well."""
    kept_stack.lose()
    project = kept_stack.running.project
    change_settings(project, {"SERVICE_NETWORK": "no-such-network-of-mammography"})
    try:
        with pytest.raises(StackError, match="everything is back, but the inference service"):
            restore(project, kept_stack.kept.path, lambda _: None)
    finally:
        change_settings(project, {"SERVICE_NETWORK": ""})
        stack.up(project, lambda _: None)
    kept_stack.check()


def test_a_damaged_archive_is_refused_before_anything_is_touched(
    kept_stack: KeptStack, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.tar"
    data = bytearray(kept_stack.kept.path.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    with pytest.raises(ArchiveRefused, match="not as listed"):
        restore(kept_stack.running.project, damaged, lambda _: None, replace=True)
    kept_stack.check()


@pytest.mark.full
def test_what_is_replaced_is_backed_up_first(kept_stack: KeptStack) -> None:
    running = kept_stack.running
    running.sql("airflow", "DELETE FROM kept WHERE n > 10")
    (running.shared / "releases" / "stray").mkdir()
    (running.shared / "releases" / "stray" / "file").write_text("since then")
    folder = kept_stack.kept.path.parent
    before = set(folder.iterdir())
    restore(running.project, kept_stack.kept.path, lambda _: None, replace=True)
    kept_stack.check()
    (second,) = set(folder.iterdir()) - before
    assert open_archive(second, BACKUP).about["runs"] == "all"
    second.unlink()


KILLED = """
import os, signal, sys
from pathlib import Path
from ml_tasks.deployment import restore as place
name, count = sys.argv[3], int(sys.argv[4])
real = getattr(place, name)
def killed(*arguments, **options):
    global count
    count -= 1
    if count < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
setattr(place, name, killed)
place.restore(Path(sys.argv[1]), Path(sys.argv[2]), print)
"""


@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("put_in_place", 3),
        *(
            pytest.param(step, 0, marks=pytest.mark.full)
            for step in ("change_settings", "_volumes", "up")
        ),
    ],
)
def test_a_killed_restore_is_run_again_and_completes(
    kept_stack: KeptStack, step: str, after: int
) -> None:
    """In between, nothing starts on what is half there."""
    project, path = kept_stack.running.project, kept_stack.kept.path
    kept_stack.lose()
    command = [sys.executable, "-c", KILLED, str(project), str(path), step, str(after)]
    killed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if step != "up":
        with pytest.raises(StackError, match="a restore was interrupted here: run it again"):
            stack.up(project, lambda _: None)
        for refused in (
            lambda: back_up(project, path.parent / "half", lambda _: None),
            lambda: stack.scale(project, 2, None, lambda _: None),
        ):
            with pytest.raises(StackError, match="a restore was interrupted here: run it again"):
                refused()
        assert not (path.parent / "half").exists()
        restore(project, path, lambda _: None)
    else:
        stack.up(project, lambda _: None)
    kept_stack.check()


def test_a_backup_waits_for_the_release_that_is_on_its_way(
    kept_stack: KeptStack, tmp_path: Path
) -> None:
    """Ledger, audit log and tag are copied while none of them moves."""
    said: list[str] = []
    running = kept_stack.running
    with locked(running.shared / "releases" / "production"):
        thread = threading.Thread(
            target=back_up, args=(running.project, tmp_path, said.append), daemon=True
        )
        thread.start()
        deadline = 120.0
        waiting = threading.Event()
        while not any("waiting until the release" in line for line in said):
            assert thread.is_alive() and (deadline := deadline - 0.2) > 0, said
            waiting.wait(0.2)
        assert not any("registry.tar" in line for line in said)
    thread.join(120)
    (archive,) = tmp_path.glob("*.tar")
    assert open_archive(archive, BACKUP).about["production"]


def test_the_workers_lock_stays_theirs(kept_stack: KeptStack) -> None:
    """Made by root, the file of the lock would keep every push out from then on."""
    if os.geteuid() != 0:
        pytest.skip("only root makes files that others cannot write")
    lock = kept_stack.running.shared / "releases" / ".production.lock"
    assert lock.stat().st_uid == lock.parent.stat().st_uid


def test_a_backup_of_a_newer_airflow_is_refused(kept_stack: KeptStack, tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    lock = (CHECKOUT / "requirements" / "airflow.txt").read_text()
    (tmp_path / "requirements" / "airflow.txt").write_text(lock)
    shutil.copytree(tmp_path / "requirements", kept_stack.running.project / "requirements")
    try:
        newer = back_up(kept_stack.running.project, tmp_path, lambda _: None)
    finally:
        shutil.rmtree(kept_stack.running.project / "requirements")
    older = lock.replace("\napache-airflow==3", "\napache-airflow==2")
    assert older != lock
    (tmp_path / "requirements" / "airflow.txt").write_text(older)
    with pytest.raises(ArchiveRefused, match=r"is of Airflow 3\.\d+\.\d+, this checkout runs 2"):
        restore(tmp_path, newer.path, lambda _: None)
