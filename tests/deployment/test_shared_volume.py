"""The folders that every host mounts: made once, for the stack's user, and never made over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml_tasks.deployment.settings_file import AIRFLOW_UID
from ml_tasks.deployment.shared_volume import CONFIG, FOLDERS, STATISTICS, ensure_shared_volume
from ml_tasks.errors import StackError

UID = os.getuid() or AIRFLOW_UID


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    (tmp_path / CONFIG).write_text("as it came\n")
    return {"MAMMO_SHARED": str(tmp_path / "shared"), "MAMMO_UID": str(UID)}


def test_what_is_missing_is_made_and_what_is_there_stays(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    ensure_shared_volume(settings, tmp_path)
    shared = tmp_path / "shared"
    for name in (*FOLDERS, STATISTICS):
        assert (shared / name).stat().st_uid == UID
    assert (shared / CONFIG).read_text() == "as it came\n"
    (shared / CONFIG).write_text("the team's\n")
    (shared / "runs").rmdir()
    ensure_shared_volume(settings, tmp_path)
    assert (shared / CONFIG).read_text() == "the team's\n"
    assert (shared / "runs").is_dir()


@pytest.mark.parametrize("named", ["./logs", "{}/deep/logs"])
def test_a_folder_of_logs_is_the_stacks_users(
    tmp_path: Path, settings: dict[str, str], named: str
) -> None:
    """The engine would make it for root, and no worker could write there."""
    place = named.format(tmp_path)
    ensure_shared_volume({**settings, "MAMMO_LOGS": place}, tmp_path)
    assert (tmp_path / place).stat().st_uid == UID


def test_logs_on_a_volume_of_the_engines_need_no_folder(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    ensure_shared_volume({**settings, "MAMMO_LOGS": "airflow-logs"}, tmp_path)
    assert not (tmp_path / "airflow-logs").exists()


def test_a_volume_that_cannot_be_prepared_is_named(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    (tmp_path / "shared").write_text("a file stands in the way\n")
    with pytest.raises(StackError, match="shared cannot be prepared.*MAMMO_SHARED"):
        ensure_shared_volume(settings, tmp_path)
