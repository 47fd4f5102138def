"""What must not be restored over, begun anew or mixed up is left as it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ml_tasks.deployment import stack
from ml_tasks.deployment.backup import back_up
from ml_tasks.deployment.restore import restore
from ml_tasks.deployment.settings_file import NAME
from ml_tasks.errors import ArchiveRefused, StackError
from tests.deployment.kept_stack import KeptStack
from tests.deployment.small_stack import CHECKOUT, set_up_here


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


def test_no_new_secrets_are_drawn_for_a_database_that_has_its_own(kept_stack: KeptStack) -> None:
    project = kept_stack.running.project
    settings = project / NAME
    settings.unlink()
    set_up_here(project, kept_stack.port)
    before = settings.read_bytes()
    remedy = r"volume mammokept.*_postgres-data.*does not hold its POSTGRES_PASSWORD.*\.env.*back"
    with pytest.raises(StackError, match=remedy):
        stack.up(project, lambda _: None)
    assert settings.read_bytes() == before
    archived = ["tar", "-xOf", str(kept_stack.kept.path), "settings"]
    settings.write_bytes(subprocess.run(archived, capture_output=True, check=True).stdout)
    # The usual place is in no archive: until `make up`, or a restore, nobody knows it here.
    for verb in (stack.down, lambda project, say: back_up(project, project / "half", say)):
        with pytest.raises(StackError, match=r"\.env lacks MAMMO_SHARED: `make up` adds"):
            verb(project, lambda _: None)
    assert not (project / "half").exists()
    with pytest.raises(StackError, match="after a backup of what is here: .*--replace"):
        restore(project, kept_stack.kept.path, lambda _: None)
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
