"""On a host beside the main one `make up` starts its worker alone, or says what is missing.

That it trains there is seen by tests/stack/test_second_host.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ml_tasks.deployment import stack
from ml_tasks.deployment.backup import back_up
from ml_tasks.deployment.restore import restore
from ml_tasks.deployment.settings_file import NAME, SECRETS, change_settings, read_settings
from ml_tasks.deployment.shared_volume import CONFIG
from ml_tasks.errors import StackError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Its .env is the main host's, its shared volume mounted."""
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / CONFIG).touch()
    own = {"MAMMO_MAIN_HOST": "10.0.0.1", "MAMMO_SHARED": str(shared), "MAMMO_PROFILES": "cpu"}
    change_settings(tmp_path, {**own, **dict.fromkeys(SECRETS, "of the main host")})
    return tmp_path


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started: what is missing is told before."""
    monkeypatch.setattr(stack, "docker", lambda *_: "")
    monkeypatch.setattr("ml_tasks.deployment.worker_host.Compose", lambda *_: pytest.fail("began"))


def up(project: Path) -> None:
    stack.up(project, lambda _: None)


def test_no_secret_is_drawn_that_the_main_host_does_not_know(project: Path) -> None:
    lines = (project / NAME).read_text().splitlines(keepends=True)
    (project / NAME).write_text("".join(each for each in lines if "REDIS_PASSWORD" not in each))
    before = (project / NAME).read_text()
    with pytest.raises(StackError, match=r"lacks REDIS_PASSWORD; copy the main host's \.env"):
        up(project)
    assert (project / NAME).read_text() == before


def test_a_volume_that_is_not_mounted_is_not_made(project: Path) -> None:
    """A training would find no data in a folder of its own, or worse, old ones."""
    shared = Path(read_settings(project)["MAMMO_SHARED"])
    (shared / CONFIG).unlink()
    with pytest.raises(StackError, match=r"config\.yaml is not there: mount the main host's"):
        up(project)
    assert list(shared.iterdir()) == []


def test_the_number_of_the_main_hosts_workers_is_not_this_hosts(project: Path) -> None:
    change_settings(project, {"MAMMO_GPU_WORKERS": "0"})
    with pytest.raises(StackError, match="MAMMO_GPU_WORKERS=0 is the main host's"):
        up(project)


@pytest.mark.parametrize(
    "verb",
    [
        lambda project: stack.scale(project, None, 2, print),
        lambda project: back_up(project, project / "backups", print),
        lambda project: restore(project, project / "no.tar", print),
    ],
)
def test_what_concerns_the_whole_stack_begins_no_other_one_here(
    project: Path, verb: Callable[[Path], object]
) -> None:
    with pytest.raises(StackError, match=r"workers alone \(MAMMO_MAIN_HOST=10\.0\.0\.1 in .env\)"):
        verb(project)
    assert {path.name for path in project.iterdir()} == {NAME, "shared"}
