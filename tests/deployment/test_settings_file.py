"""The file of settings: made with secrets of its own, private, completed, never replaced."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from ml_tasks.deployment.settings_file import NAME, change_settings, ensure_settings, read_settings
from ml_tasks.errors import StackError
from tests.test_compose import FILE, variables_that_must_be_set


@pytest.fixture(autouse=True)
def engine_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = tmp_path / "docker.sock"
    socket.touch()
    monkeypatch.setattr("ml_tasks.deployment.settings_file.SOCKET", socket)


def test_it_holds_all_that_compose_demands_and_is_private(tmp_path: Path) -> None:
    settings = ensure_settings(tmp_path)
    assert set(variables_that_must_be_set()) <= set(settings)
    assert all(settings.values())
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    assert read_settings(tmp_path) == settings


def test_two_stacks_share_no_secret(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, other = ensure_settings(tmp_path / "a"), ensure_settings(tmp_path / "b")
    secret = [name for name in one if re.search("PASSWORD|SECRET|KEY", name)]
    assert len(secret) == 9
    assert all(one[name] != other[name] for name in secret)
    assert len({one[name] for name in secret}) == len(secret)
    assert all(len(one[name]) >= 20 for name in secret)


def test_what_stands_there_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("# ours\nREDIS_PASSWORD='kept'\nAIRFLOW_PORT=9000\n")
    settings = ensure_settings(tmp_path)
    assert settings["REDIS_PASSWORD"] == "kept"
    again = ensure_settings(tmp_path)
    assert again == settings
    assert (tmp_path / NAME).read_text().startswith("# ours\n")
    assert again["AIRFLOW_PORT"] == "9000"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another group")
def test_the_group_is_that_of_the_socket_which_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other.sock"
    other.touch()
    os.chown(other, -1, 4242)
    (tmp_path / NAME).write_text(f"DOCKER_SOCKET={other}\n")
    assert ensure_settings(tmp_path)["DOCKER_GID"] == "4242"


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("POSTGRES_PASSWORD=\n")
    with pytest.raises(StackError, match="POSTGRES_PASSWORD is empty; put the value of"):
        ensure_settings(tmp_path)


def test_a_line_that_is_no_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("A=1\nthis is nothing\n")
    with pytest.raises(StackError, match="line 2: no setting"):
        read_settings(tmp_path)


def test_without_the_file_the_remedy_is_said(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="make up"):
        read_settings(tmp_path)


def test_a_changed_setting_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    before = ensure_settings(tmp_path)
    change_settings(tmp_path, {"MAMMO_WORKERS": "2"})
    change_settings(tmp_path, {"MAMMO_WORKERS": "3"})
    assert read_settings(tmp_path) == {**before, "MAMMO_WORKERS": "3"}
    assert (tmp_path / NAME).read_text().count("MAMMO_WORKERS") == 1
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_every_setting_that_compose_knows_is_on_the_page() -> None:
    names = set(re.findall(r"\$\{(\w+)", FILE.read_text()))
    page = (FILE.parent / "docs" / "deployment.md").read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
