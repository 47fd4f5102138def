"""The task that asks a person: what it makes of each answer, as Airflow hands it over."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    DownstreamTasksSkipped,
    TaskAwaitingInput,
)

from ml_tasks.approve import answer
from ml_tasks.config import save_config
from ml_tasks.config_operation import ApprovalConfig
from ml_tasks.records import Decision, Verdict
from ml_tasks.release.approval import Answer, ApprovalRecord
from ml_tasks.release.audit import Deed, read_audit
from tests.toy_run import ToyRun, make_toy_run

DAGS = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(DAGS)
    return importlib.import_module("operators.approval")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyRun:
    """A run about which the gate could not tell; a person has two hours."""
    made = make_toy_run(tmp_path, "unsure", Verdict.INCONCLUSIVE)
    asked = ApprovalConfig(timeout_hours=2)
    config = made.config.model_copy(update={"approval": asked})
    save_config(config, made.run.config)
    save_config(config, tmp_path / "config.yaml")
    monkeypatch.setenv("MAMMO_CONFIG", str(tmp_path / "config.yaml"))
    return ToyRun(made.run, config)


class Supervisor:
    """Stands at the other end of the task's line: it keeps the first request, as Airflow does."""

    def __init__(self) -> None:
        self.shown: Any = None

    def send(self, msg: Any) -> Any:
        self.shown = self.shown or msg
        return SimpleNamespace(body=self.shown.body)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    made = Supervisor()
    runner = "airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS"
    monkeypatch.setattr(runner, made, raising=False)
    return made


@pytest.fixture
def task(module: ModuleType) -> Any:
    """The task with one that follows it."""
    from airflow.sdk import DAG
    from airflow.sdk.bases.operator import BaseOperator

    with DAG("approval", schedule=None):
        made = module.PersonApproval(task_id="approve")
        made >> BaseOperator(task_id="build_image")
    return made


def context(task: Any) -> dict[str, Any]:
    from uuid import UUID

    instance = SimpleNamespace(
        id=UUID(int=1), map_index=-1, xcom_push=lambda **_: None, task_id="approve"
    )
    return {"run_id": "unsure", "task": task, "ti": instance, "task_instance": instance}


def event(option: str, who: str | None = "ada", timedout: bool = False, **form: Any) -> Any:
    return {
        "chosen_options": [option],
        "params_input": form,
        "responded_at": datetime(2026, 11, 24, 8, 12, 40, tzinfo=UTC),
        "responded_by_user": who and {"id": "7", "name": who},
        "timedout": timedout,
    }


def lines(toy: ToyRun) -> list[tuple[Deed, str, str]]:
    entries = read_audit(toy.config.paths.releases)
    return [(entry.deed, entry.who, entry.why) for entry in entries]


def test_nobody_waits_where_nobody_need_be_asked(
    toy: ToyRun, task: Any, supervisor: Supervisor, tmp_path: Path
) -> None:
    made = make_toy_run(tmp_path / "passed", "unsure")
    save_config(made.config, tmp_path / "config.yaml")
    assert task.execute(context(task)) == {"answer": "not needed"}
    assert made.run.load(ApprovalRecord).answer is Answer.NOT_NEEDED
    assert supervisor.shown is None


def test_it_asks_with_the_runs_own_figures_and_time(
    toy: ToyRun, task: Any, supervisor: Supervisor
) -> None:
    with pytest.raises(TaskAwaitingInput) as waiting:
        task.execute(context(task))
    assert waiting.value.timeout.total_seconds() == 7200
    assert waiting.value.method_name == "execute_complete"
    assert waiting.value.kwargs == {"decision": toy.run.mark(Decision)["gate"]}
    shown = supervisor.shown
    assert shown.subject == "INCONCLUSIVE: shall the model of unsure ship?"
    assert "| AUC | 0.950 [0.920, 0.980] |" in shown.body
    assert shown.options == ["Approve", "Reject"] and shown.defaults == ["Reject"]
    assert shown.params["reason"]["schema"]["title"] == "Reason"
    assert lines(toy) == [(Deed.ASKED, "pipeline", "")]


def test_the_notifiers_are_called_when_a_person_is_asked(
    toy: ToyRun, module: ModuleType, supervisor: Supervisor
) -> None:
    told: list[Any] = []
    task = module.PersonApproval(task_id="approve", notifiers=[told.append])
    given = context(task)
    with pytest.raises(TaskAwaitingInput):
        task.execute(given)
    assert told == [given]


def test_an_approval_with_a_reason_goes_on(toy: ToyRun, task: Any) -> None:
    done = task.execute_complete(context(task), event("Approve", reason=" read the misses "))
    assert done == {"answer": "approved"}
    record = toy.run.load(ApprovalRecord)
    assert record.passed and record.when == "2026-11-24T08:12:40+00:00"
    assert lines(toy) == [(Deed.APPROVED, "ada", "read the misses")]


@pytest.mark.parametrize("form", [{}, {"reason": ""}, {"reason": " \n"}, {"reason": None}])
def test_an_approval_without_a_reason_fails_and_does_not_count(
    toy: ToyRun, task: Any, form: dict[str, Any]
) -> None:
    """The page's interface takes it; green, it would ship a model for no reason."""
    with pytest.raises(AirflowFailException, match="does not count: it gave no reason"):
        task.execute_complete(context(task), event("Approve", **form))
    assert not toy.run.has(ApprovalRecord)
    assert [deed for deed, _, _ in lines(toy)] == [Deed.UNCOUNTED]


def test_an_approval_without_a_login_does_not_count(toy: ToyRun, task: Any) -> None:
    with pytest.raises(AirflowFailException, match="is not the name of a person"):
        task.execute_complete(context(task), event("Approve", "Anonymous", reason="good"))
    assert not toy.run.has(ApprovalRecord)


@pytest.mark.parametrize("form", [{}, {"reason": "no"}, {"reason": 3}, {"other": "x"}])
def test_a_rejection_skips_what_follows_and_is_written_down_first(
    toy: ToyRun, task: Any, form: dict[str, Any]
) -> None:
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        task.execute_complete(context(task), event("Reject", **form))
    assert list(skipped.value.tasks) == ["build_image"]
    why = str(form.get("reason") or "no reason was given")
    assert lines(toy) == [(Deed.REJECTED, "ada", why)]
    assert toy.run.load(ApprovalRecord).answer is Answer.REJECTED


def test_no_answer_in_time_is_a_rejection_by_nobody(toy: ToyRun, task: Any) -> None:
    with pytest.raises(DownstreamTasksSkipped):
        task.execute_complete(context(task), event("Reject", None, timedout=True, reason=""))
    assert lines(toy) == [(Deed.TIMED_OUT, "pipeline", "nobody answered within 2 hours")]
    assert toy.run.load(ApprovalRecord).answer is Answer.TIMED_OUT


@pytest.mark.parametrize("given", [event("Approve", reason="good"), event("Reject")])
def test_an_answer_to_a_decision_of_before_does_not_count(
    toy: ToyRun, task: Any, supervisor: Supervisor, given: Any
) -> None:
    with pytest.raises(TaskAwaitingInput) as waiting:
        task.execute(context(task))
    anew = toy.run.load(Decision).model_copy(update={"production": "sha256:2"})
    toy.run.seal(toy.run.stage("gate"), anew)
    with pytest.raises(AirflowFailException, match="judged anew since the question was asked"):
        task.execute_complete(context(task), given, **waiting.value.kwargs)
    assert [deed for deed, _, _ in lines(toy)] == [Deed.ASKED, Deed.UNCOUNTED]
    assert not toy.run.has(ApprovalRecord)


def test_at_the_end_of_the_time_an_answer_at_a_terminal_stands_and_nothing_follows_here(
    toy: ToyRun, task: Any, supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ml_tasks")
    with pytest.raises(TaskAwaitingInput) as waiting:
        task.execute(context(task))
    record = answer(toy.run, toy.config, Answer.APPROVED, "grace", "seen all misses")
    with pytest.raises(DownstreamTasksSkipped):
        late = event("Reject", None, timedout=True, reason="")
        task.execute_complete(context(task), late, **waiting.value.kwargs)
    assert toy.run.load(ApprovalRecord) == record
    assert "nobody answered here in time, so nothing follows here" in caplog.messages[-2]
    assert caplog.messages[-1].startswith("APPROVED by grace on ")


def test_a_damaged_audit_log_stops_the_answer(toy: ToyRun, task: Any) -> None:
    log = toy.config.paths.releases / "audit.jsonl"
    log.parent.mkdir()
    log.write_text("rubbish\n")
    with pytest.raises(AirflowFailException, match="line 1 is damaged or was edited"):
        task.execute_complete(context(task), event("Approve", reason="good"))
    assert not toy.run.has(ApprovalRecord)


def test_cleared_it_asks_again_and_never_by_old_figures(
    toy: ToyRun, task: Any, supervisor: Supervisor
) -> None:
    """Airflow shows the first request of a task again, whatever is in the new one."""
    for _ in range(2):
        with pytest.raises(TaskAwaitingInput):
            task.execute(context(task))
    supervisor.shown.body = "accuracy 0.99"
    with pytest.raises(AirflowFailException, match="judged anew.* by old figures"):
        task.execute(context(task))
