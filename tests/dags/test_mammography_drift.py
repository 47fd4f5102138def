"""The drift DAG: as Airflow parses it, and what its tasks make of the form, verdicts and events."""

from __future__ import annotations

import importlib
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from ml_tasks.config import Config, save_config
from ml_tasks.monitoring.verdict import read_report
from ml_tasks.release.audit import read_audit
from tests.dags.described import DAGS, describe
from tests.monitoring.service_images import (
    DARKER,
    NOW,
    Scene,
    lines,
    make_scene,
    write_lines,
)

FILE = DAGS / "mammography_drift.py"
DAY = "2026-03-10"


@pytest.fixture(scope="module")
def dag() -> dict[str, Any]:
    return describe(FILE)


def test_three_tasks_in_a_line_and_only_the_last_can_start_a_retraining(
    dag: dict[str, Any],
) -> None:
    """An outlet of an earlier task would start a retraining every day."""
    assert dag["dag_id"] == "mammography_drift"
    assert dag["edges"] == [
        ["compare", "ask_for_retraining"],
        ["compare", "suggest"],
        ["suggest", "ask_for_retraining"],
    ]
    assert dag["outlets"] == {
        "compare": [],
        "suggest": [],
        "ask_for_retraining": ["mammography_retraining_wanted"],
    }


def test_it_runs_daily_one_at_a_time_and_never_catches_up(dag: dict[str, Any]) -> None:
    assert (dag["cron"], dag["catchup"], dag["max_active_runs"]) == ("0 5 * * *", False, 1)
    assert dag["deadlines"] == [20 * 3600], "late is told of before the next day's"


def test_every_task_has_a_time_limit_retries_and_a_sentence(dag: dict[str, Any]) -> None:
    assert all(seconds > 0 for seconds in dag["timeouts"].values())
    assert all(count >= 1 for count in dag["retries"].values())
    assert all(dag["docs"].values())
    for word in (*dag["docs"], "config.yaml", "green", "cooldown_days", "re-run"):
        assert word in dag["doc"]


def test_the_form_is_explained_empty_and_stands_for_settings(
    dag: dict[str, Any], drift_task: ModuleType
) -> None:
    assert set(drift_task.SETTINGS) == set(dag["params"])
    for field, param in dag["params"].items():
        assert param["value"] is None
        assert param["schema"]["title"] and param["description"]
        section, name = drift_task.SETTINGS[field].split(".")
        assert name in type(getattr(Config(), section)).model_fields


class Events:
    """The events of an asset, as a task's inlet shows them."""

    def __init__(self, *extras: dict[str, Any]) -> None:
        self.found = [SimpleNamespace(extra=extra, timestamp=NOW) for extra in extras]

    def ascending(self, _: bool) -> Events:
        return self

    def limit(self, _: int) -> Events:
        return self

    def __iter__(self) -> Any:
        return iter(self.found)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = make_scene(tmp_path)
    save_config(made.config, tmp_path / "config.yaml")
    monkeypatch.setenv("MAMMO_CONFIG", str(tmp_path / "config.yaml"))
    return made


@pytest.fixture
def drift_task(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as Airflow imports it."""
    monkeypatch.syspath_prepend(FILE.parent)
    module = importlib.import_module("operators.drift_task")
    enter(module, monkeypatch)
    return module


def enter(
    module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    *emitted: dict[str, Any],
    paused: bool = False,
    **params: Any,
) -> dict[str, Any]:
    """Puts the module into a task of a run of March 10th; gives the task's context."""
    wanted = module.RETRAINING_WANTED
    retraining = SimpleNamespace(is_paused=paused)
    context = {
        "ti": SimpleNamespace(
            task_id="suggest", get_dag={"mammography_retraining": retraining}.__getitem__
        ),
        "dag_run": SimpleNamespace(run_after=NOW, run_id="scheduled__1"),
        "params": {"retrain": None, "window_days": None, **params},
        "inlet_events": {wanted: Events(*emitted)},
        "outlet_events": {wanted: SimpleNamespace(extra={})},
    }
    monkeypatch.setattr(module, "get_current_context", lambda: context)
    return context


def test_by_default_drift_only_suggests(scene: Scene, drift_task: ModuleType) -> None:
    write_lines(scene.config.paths.statistics, lines(scene.version, 300, moved=DARKER))
    assert drift_task.compare() == DAY
    assert drift_task.suggest(DAY) is False
    assert [entry.deed.value for entry in read_audit(scene.config.paths.releases)] == [
        "retraining suggested"
    ]


def test_the_form_starts_and_the_event_says_why_once(
    scene: Scene, drift_task: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(scene.config.paths.statistics, lines(scene.version, 300, moved=DARKER))
    context = enter(drift_task, monkeypatch, {}, {"day": "2026-03-09"}, retrain=True)
    assert drift_task.suggest(drift_task.compare()) is True
    extra = drift_task.ask_for_retraining(DAY)
    assert context["outlet_events"][drift_task.RETRAINING_WANTED].extra == extra
    assert extra["reason"].startswith("DRIFT: 5 of 10 figures")
    assert (extra["day"], extra["version"]) == (DAY, scene.version)
    assert Path(extra["report"]).is_file()
    # A crash before Airflow recorded the event: the next try emits it, and notes nothing twice.
    assert drift_task.suggest(DAY) is True
    assert drift_task.ask_for_retraining(DAY) == extra
    assert len(read_audit(scene.config.paths.releases)) == 1
    # Recorded: whoever runs the task again starts no second retraining.
    enter(drift_task, monkeypatch, extra, retrain=True)
    with pytest.raises(AirflowSkipException, match="asked for at 2026-03-10 05:00 UTC"):
        drift_task.ask_for_retraining(DAY)


def test_a_paused_retraining_is_not_said_to_be_started(
    scene: Scene,
    drift_task: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Airflow drops the event: the audit log would claim a start, and hold up the next."""
    write_lines(scene.config.paths.statistics, lines(scene.version, 300, moved=DARKER))
    context = enter(drift_task, monkeypatch, paused=True, retrain=True)
    assert drift_task.suggest(drift_task.compare()) is False
    assert "mammography_retraining is paused" in caplog.records[-1].message
    audit = read_audit(scene.config.paths.releases)
    assert [entry.deed.value for entry in audit] == ["retraining suggested"]
    with pytest.raises(AirflowFailException, match=r"paused .*; switch it on, then clear"):
        drift_task.ask_for_retraining(DAY)
    assert context["outlet_events"][drift_task.RETRAINING_WANTED].extra == {}
    enter(drift_task, monkeypatch, retrain=True)
    assert drift_task.suggest(DAY) is True, "switched on, the same evidence starts it"


def test_who_wants_notices_is_told_of_drift_once(
    scene: Scene, drift_task: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(
        drift_task.MammoNotifier, "notify", lambda self, _: told.append((self.event, self.line))
    )
    write_lines(scene.config.paths.statistics, lines(scene.version, 300))
    drift_task.suggest(drift_task.compare())
    assert told == [], "no drift, no notice"
    write_lines(scene.config.paths.statistics, lines(scene.version, 300, moved=DARKER))
    drift_task.suggest(drift_task.compare())
    drift_task.suggest(DAY)
    ((event, line),) = told
    assert event == "drift" and line.startswith("a retraining is suggested: DRIFT: ")
    assert str(scene.config.paths.drift) not in line, "a notice holds no path"


def test_the_form_sets_the_window(
    scene: Scene, drift_task: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = NOW - timedelta(days=20)
    write_lines(scene.config.paths.statistics, lines(scene.version, 30, at=early))
    enter(drift_task, monkeypatch, window_days=30)
    drift_task.compare()
    assert read_report(scene.config.paths.drift / DAY).counts.images == 30


def test_what_is_wrong_is_not_tried_again_and_what_may_pass_is(
    scene: Scene, drift_task: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(AirflowFailException, match=r"clear `compare`"):
        drift_task.suggest("2026-01-01")
    path = tmp_path / "config.yaml"
    path.write_text(path.read_text().replace("push: false", "push: true"))
    monkeypatch.setenv("MAMMO_REGISTRY_URL", "http://localhost:1")
    monkeypatch.delenv("SKIP_DOCKER", raising=False)
    with pytest.raises(AirflowException, match="registry at http://localhost:1") as raised:
        drift_task.compare()
    assert not isinstance(raised.value, AirflowFailException)


def test_a_retraining_says_first_why_it_was_started(
    drift_task: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = importlib.import_module("operators.started")
    stage_task = importlib.import_module("operators.stage_task")
    extra = {"reason": "DRIFT: 5 of 10 figures", "report": "r", "day": DAY, "version": "v"}
    event = SimpleNamespace(extra=extra, timestamp=1)
    context = {"triggering_asset_events": {"wanted": [event]}, "params": {}}
    assert started.why_started(context) == "started because DRIFT: 5 of 10 figures"
    assert stage_task.chosen_settings(context) == {}, "the event names no folder"
    person = SimpleNamespace(triggering_user_name="ada", run_type="manual")
    assert started.why_started({"dag_run": person}) == "started by ada"
    quiet = SimpleNamespace(triggering_user_name=None, run_type="scheduled")
    assert started.why_started({"dag_run": quiet}) == "started: scheduled"
    data = SimpleNamespace(extra={"data_dir": "/new"}, timestamp=1)
    assert "new data" in started.why_started({"triggering_asset_events": {"data": [data]}})
