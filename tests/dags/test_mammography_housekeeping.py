"""The housekeeping DAG as Airflow parses it, and what its tasks make of the form."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ml_tasks import housekeeping
from ml_tasks.config import Config, save_config
from ml_tasks.release.audit import read_audit
from tests.dags.described import DAGS, describe
from tests.old_folders import folders, run_of, settings

FILE = DAGS / "mammography_housekeeping.py"


@pytest.fixture(scope="module")
def dag() -> dict[str, Any]:
    return describe(FILE)


def test_its_tasks_do_not_wait_for_one_another(dag: dict[str, Any]) -> None:
    """A registry that is away must not keep a full disk full of logs."""
    assert sorted(dag["order"]) == ["images", "logs", "runs"] and dag["edges"] == []
    assert set(dag["queues"].values()) == {"build"}


def test_it_runs_weekly_one_at_a_time(dag: dict[str, Any]) -> None:
    assert (dag["cron"], dag["max_active_runs"], dag["catchup"]) == ("0 5 * * 0", 1, False)


def test_an_empty_field_is_what_the_configuration_says(dag: dict[str, Any]) -> None:
    assert dag["params"]["remove"]["value"] is None
    for words in ("by default", "never", "A red task", "audit log", "housekeeping.remove"):
        assert words in dag["doc"]


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(DAGS)
    return importlib.import_module("operators.housekeeping_tasks")


@pytest.mark.parametrize(
    ("configured", "wish", "goes"),
    [(False, None, False), (False, True, True), (True, None, True), (True, False, False)],
)
def test_the_form_goes_before_the_configuration(
    tasks: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    configured: bool,
    wish: bool | None,
    goes: bool,
) -> None:
    config = settings(tmp_path, remove=configured)
    run_of(config, "old")
    run_of(config, "newest", 0)
    save_config(config, tmp_path / "config.yaml")
    monkeypatch.setenv("MAMMO_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path / "logs"))
    context = {
        "params": {"remove": wish},
        "dag_run": SimpleNamespace(triggering_user_name="ana"),
    }
    monkeypatch.setattr(tasks, "get_current_context", lambda: context)
    figures = tasks.tidy("runs")
    assert (figures["going"], figures["staying"], figures["removed"]) == (1, 1, goes)
    assert folders(config.paths.runs) == (["newest"] if goes else ["newest", "old"])
    assert [entry.who for entry in read_audit(config.paths.releases)] == ["ana"] * goes
    told: list[str] = []
    tidy_images = housekeeping.tidy_images

    def images(config: Config, remove: bool, who: str) -> housekeeping.Tidied:
        told.append(who)
        return tidy_images(config, remove, who)

    monkeypatch.setattr(housekeeping, "tidy_images", images)
    assert tasks.tidy("images")["staying"] == 0 and told == ["ana"]
    assert tasks.tidy("logs")["removed"] is goes
