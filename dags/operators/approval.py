"""The task that asks a person on the page whether a judged model ships, where one must be asked."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import TaskAwaitingInput

from operators.shown_request import check_shown

SUBJECT = "Shall this model ship?"


class PersonApproval(ApprovalOperator):  # type: ignore[misc]  # Airflow is not typed here
    """Returns at once where nobody need be asked; else waits for Approve or Reject with a reason.

    Nothing that it learns is lost or taken for granted: the audit log holds that a person was asked
    before the request is shown, and the answer before anything follows from it. A rejection, and no
    answer in time, end green with what follows skipped. Cleared, it asks again. `notifiers` are
    called when a person is asked. What is shown is made by `ml_tasks.approve`.
    """

    def __init__(self, **options: Any) -> None:
        options.pop("params", None)  # Airflow hands those of the DAG's form to every task
        super().__init__(
            subject=SUBJECT,
            params={
                "reason": Param(
                    "",
                    type="string",
                    maxLength=2000,
                    source="task",
                    title="Reason",
                    description="Why. An approval without a reason does not count.",
                )
            },
            defaults=self.REJECT,
            # Only stands for one until the run's own settings are read.
            response_timeout=timedelta(days=1),
            **options,
        )

    def execute(self, context: Any) -> Any:
        from ml_tasks import approve, sequences
        from operators.stage_task import readable_errors
        from operators.task_context import config_file

        with readable_errors():
            run, config = sequences.reopened(context["run_id"], config_file())
            request = approve.ask(run, config)
        if request is None:
            return {"answer": "not needed"}
        self.subject, self.body = request.subject, request.body
        self.response_timeout = timedelta(hours=request.timeout_hours)
        check_shown(
            self,
            context,
            "The model was judged anew, and Airflow would show the request of before: nobody "
            "shall decide by old figures. Start a new run; or decide at a terminal (mammo "
            f"approve --run '{context['run_id']}') and ship with ./push_model.sh --run",
        )
        try:
            return super().execute(context)
        except TaskAwaitingInput as waiting:
            # Comes back with the answer: whatever is judged meanwhile, nobody was asked about it.
            waiting.kwargs = {**(waiting.kwargs or {}), "decision": request.decision}
            raise

    def execute_complete(self, context: Any, event: dict[str, Any], decision: str = "") -> Any:
        from ml_tasks import approve, sequences
        from operators.stage_task import readable_errors
        from operators.task_context import config_file

        if "error" in event:
            self.process_trigger_event_error(event)
        reason = str((event.get("params_input") or {}).get("reason") or "").strip()
        with readable_errors():
            run, config = sequences.reopened(context["run_id"], config_file())
            if event.get("timedout"):
                record = approve.time_out(run, config, decision)
            else:
                approved = event["chosen_options"] == [self.APPROVE]
                who, when = _who(event), _moment(event).isoformat(timespec="seconds")
                record = approve.answer(run, config, _answer(approved), who, reason, when, decision)
        # Airflow's own log follows; on the page this is what is read.
        log = logging.getLogger("ml_tasks.approve")
        if event.get("timedout") and record.passed:
            log.info("nobody answered here in time, so nothing follows here; but at a terminal:")
        log.info("%s", record.summary())
        super().execute_complete(context, _clean(event, reason))
        return {"answer": record.answer.value}


def _answer(approved: bool) -> Any:
    from ml_tasks.release.approval import Answer

    return Answer.APPROVED if approved else Answer.REJECTED


def _who(event: dict[str, Any]) -> str:
    user = event.get("responded_by_user") or {}
    return str(user.get("name") or user.get("id") or "")


def _clean(event: dict[str, Any], reason: str) -> dict[str, Any]:
    """The event as Airflow's operator checks it: it must not fail over what is written down."""
    form = {"reason": reason[:2000]}
    return {**event, "params_input": form, "responded_at": _moment(event)}


def _moment(event: dict[str, Any]) -> datetime:
    at = event["responded_at"]
    return at if isinstance(at, datetime) else datetime.fromisoformat(str(at))
