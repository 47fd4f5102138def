"""Everything comes back, with a real Postgres, registry and releases."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ml_tasks.deployment import kept_volumes, stack
from ml_tasks.deployment import restore as restoring
from ml_tasks.deployment.archive import BACKUP, open_archive
from ml_tasks.deployment.backup import SETTINGS_PART, back_up
from ml_tasks.deployment.restore import restore
from ml_tasks.deployment.settings_file import NAME, change_settings, read_settings
from ml_tasks.errors import StackError
from tests.deployment.kept_stack import SECRETS, KeptStack
from tests.deployment.small_stack import CHECKOUT

NOBODY = 65534


@pytest.mark.parametrize("paused", [False, True])
def test_everything_comes_back_after_everything_was_lost(
    kept_stack: KeptStack, paused: bool
) -> None:
    kept_stack.lose()
    said: list[str] = []
    restore(kept_stack.running.project, kept_stack.kept.path, said.append, paused=paused)
    kept_stack.check()
    # What waited in the Redis of then is queued again; who ran is missed by the heartbeat, and
    # people are told, unless all is paused.
    tasks = (
        "SELECT coalesce(state, 'none'), coalesce(external_executor_id, '-') "
        "FROM task_instance ORDER BY state"
    )
    ran = "none|b" if paused else "running|b"
    assert kept_stack.running.sql("airflow", tasks).split() == ["queued|-", ran]
    for flag in ("is_paused FROM dag", "missed FROM deadline"):
        assert kept_stack.running.sql("airflow", f"SELECT {flag}") == "ft"[paused]
    last, told = kept_stack.releases[-1], "\n".join(said)
    assert "2 release(s): every file is as its SHA256SUMS says" in told
    assert "the audit log is whole and agrees with the ledger" in told
    assert f"production is {last.version} ({last.digest}), by registry and ledger" in told
    assert ":production: verified" in told
    model = kept_stack.running.compose.exec("mlflow", ["cat", "/opt/airflow/mlflow/model"])
    assert model == "model\n"


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


# Root until everything is imported: Python and checkout may lie where nobody else may read.
BY_ANOTHER_USER = """
import json, os, sys
from pathlib import Path
from ml_tasks.deployment import restore as place
from ml_tasks.deployment.archive import BACKUP, open_archive
from ml_tasks.deployment.compose import Compose
project, archive, settings, user = sys.argv[1:]
os.setgroups([])
os.setgid(int(user))
os.setuid(int(user))
opened = open_archive(Path(archive), BACKUP)
place._files(Compose(Path(project), json.loads(settings)), opened, lambda _: None)
"""


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
        arguments = [str(project), str(archive), json.dumps(settings), str(NOBODY)]
        command = [sys.executable, "-c", BY_ANOTHER_USER, *arguments]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
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


@pytest.mark.full
@pytest.mark.parametrize("settings", ["its own", "out of the archive"])
def test_what_is_replaced_is_backed_up_first(kept_stack: KeptStack, settings: str) -> None:
    running = kept_stack.running
    running.sql("airflow", "DELETE FROM kept WHERE n > 10")
    if settings != "its own":
        archive = open_archive(kept_stack.kept.path, BACKUP)
        (running.project / NAME).write_bytes(b"".join(archive.chunks(SETTINGS_PART)))
        assert "MAMMO_SHARED" not in read_settings(running.project)
    stray = running.project / "shared" / "releases" / "stray"
    stray.mkdir()
    (stray / "file").write_text("since then")
    folder = kept_stack.kept.path.parent
    before = set(folder.iterdir())
    restore(running.project, kept_stack.kept.path, lambda _: None, replace=True)
    kept_stack.check()
    (second,) = set(folder.iterdir()) - before
    assert open_archive(second, BACKUP).about["runs"] == "all"
    second.unlink()


@pytest.mark.full
def test_another_postgres_takes_over_by_a_restore(kept_stack: KeptStack) -> None:
    """As docs/backup.md has it of another major version, which reads no older one's files."""
    running = kept_stack.running
    compose = running.compose
    stack.down(running.project, lambda _: None)
    kept_volumes.remove(compose, [kept_volumes.POSTGRES])
    before = set(kept_stack.kept.path.parent.iterdir())
    restore(running.project, kept_stack.kept.path, lambda _: None, replace=True)
    kept_stack.check()
    (made,) = set(kept_stack.kept.path.parent.iterdir()) - before
    made.unlink()


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
