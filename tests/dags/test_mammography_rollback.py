"""The rollback DAG as Airflow parses it, and what its first task makes of form and answer."""

from __future__ import annotations

import importlib
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import (
    AirflowFailException,
    DownstreamTasksSkipped,
    TaskAwaitingInput,
)

from ml_tasks import rollback
from ml_tasks.release.examined import VERSION_FORM
from tests.dags.described import DAGS, describe
from tests.dags.test_approval_task import Supervisor, supervisor

__all__ = ["supervisor"]  # a fixture

FILE = DAGS / "mammography_rollback.py"
VERSION = "20260101T030405Z-0123456789ab"


@pytest.fixture(scope="module")
def dag() -> dict[str, Any]:
    return describe(FILE)


def test_it_chooses_then_tests_then_moves_and_builds_nothing(dag: dict[str, Any]) -> None:
    assert dag["order"] == ["choose", "smoke_test", "move"]
    assert ["choose", "smoke_test"] in dag["edges"] and ["smoke_test", "move"] in dag["edges"]
    assert (dag["cron"], dag["assets"], dag["max_active_runs"]) == (None, [], 1)


def test_only_the_builder_does_it_and_moving_holds_the_pool_of_production(
    dag: dict[str, Any],
) -> None:
    """Two movers at once would not see each other's move."""
    assert set(dag["queues"].values()) == {"build"}
    assert dag["pools"]["move"] == "production"
    assert dag["pools"]["choose"] != "production", "a person may take a day to answer"


def test_the_form_takes_a_version_and_a_reason_as_the_task_does(
    dag: dict[str, Any], choosing: ModuleType
) -> None:
    assert set(dag["params"]) == {"version", "reason"}
    pattern = dag["params"]["version"]["schema"]["pattern"]
    assert pattern == f"^{VERSION_FORM.pattern}$"
    assert choosing.LEAST_REASON == rollback.LEAST_REASON
    assert dag["params"]["reason"]["schema"]["minLength"] == rollback.LEAST_REASON


def test_the_page_says_what_no_answer_means(dag: dict[str, Any]) -> None:
    for words in ("24 hours", "Cancel", "digest", "docker pull", "audit log", "Cleared"):
        assert words in dag["doc"]


@pytest.fixture
def choosing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(DAGS)
    return importlib.import_module("operators.choose_release")


class Pushed:
    """A task instance that keeps what is pushed to it."""

    map_index = -1

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed = {key: value}


def context(choosing: ModuleType, user: str | None = "ana", **form: Any) -> dict[str, Any]:
    following = BaseOperator(task_id="smoke_test")
    return {
        "params": {"version": None, "reason": None} | form,
        "dag_run": SimpleNamespace(triggering_user_name=user),
        "ti": Pushed(),
        "task": SimpleNamespace(get_direct_relatives=lambda upstream: [following]),
    }


def answered(*chosen: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "chosen_options": list(chosen),
        "params_input": {"reason": reason},
        "responded_by_user": {"id": "7", "name": "ben"},
        "timedout": False,
    } | more


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None, str]]:
    """What reaches the stage: version, reason, who."""
    seen: list[tuple[str, str | None, str]] = []

    def noted(_: Any, version: str, reason: str | None, who: str) -> rollback.Choice:
        seen.append((version, reason, who))
        return rollback.Choice(version=version, reason=reason or "", who=who, production=None)

    monkeypatch.setattr(rollback, "choose", noted)
    return seen


def test_a_version_in_the_form_is_chosen_by_who_triggered_and_nobody_is_asked(
    choosing: ModuleType, told: list[Any]
) -> None:
    operator = choosing.ChooseRelease(task_id="choose")
    given = operator.execute(context(choosing, version=VERSION, reason="wrong on implants"))
    assert told == [(VERSION, "wrong on implants", "ana")]
    assert given["version"] == VERSION


def test_cleared_it_asks_again_and_never_by_an_old_list(
    choosing: ModuleType, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """What stands there as serving may have gone since, and that for a reason."""
    (tmp_path / "config.yaml").write_text("")
    monkeypatch.setenv("MAMMO_CONFIG", str(tmp_path / "config.yaml"))
    asked = rollback.Question(versions=(VERSION,), body="V2 **serves**")
    monkeypatch.setattr(rollback, "question", lambda _: asked)
    given = context(choosing) | {"task_instance": SimpleNamespace(id=UUID(int=1))}
    for _ in range(2):
        with pytest.raises(TaskAwaitingInput):
            choosing.ChooseRelease(task_id="choose").execute(given)
    assert supervisor.shown.options == [VERSION, "Cancel"]
    asked = rollback.Question(versions=(VERSION,), body="V3 **serves**")
    with pytest.raises(AirflowFailException, match="has changed since .* Start a new rollback"):
        choosing.ChooseRelease(task_id="choose").execute(given)


def test_an_answer_is_chosen_by_who_answered(choosing: ModuleType, told: list[Any]) -> None:
    operator = choosing.ChooseRelease(task_id="choose")
    operator.execute_complete(context(choosing), answered(VERSION, reason="wrong on implants"))
    assert told == [(VERSION, "wrong on implants", "ben")]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (answered("Cancel", reason="a mistake"), "cancelled by ben: a mistake"),
        (answered("Cancel", timedout=True, responded_by_user=None), "nobody answered within"),
    ],
)
def test_cancelled_or_not_answered_nothing_follows_and_the_log_says_so(
    choosing: ModuleType,
    told: list[Any],
    caplog: pytest.LogCaptureFixture,
    event: dict[str, Any],
    words: str,
) -> None:
    caplog.set_level("INFO", "ml_tasks")
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        choosing.ChooseRelease(task_id="choose").execute_complete(context(choosing), event)
    assert skipped.value.tasks == ["smoke_test"]
    assert words in caplog.messages[-1] and told == []


def test_an_answer_without_a_reason_does_not_count(
    choosing: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "config.yaml").write_text("")
    monkeypatch.setenv("MAMMO_CONFIG", str(tmp_path / "config.yaml"))
    with pytest.raises(AirflowFailException, match="no reason is given .* clear this task"):
        choosing.ChooseRelease(task_id="choose").execute_complete(
            context(choosing), answered(VERSION)
        )
