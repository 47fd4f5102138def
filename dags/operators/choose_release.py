"""The task that knows which release shall serve again: by the form, else it asks in the page."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.exceptions import AirflowSkipException

from operators.shown_request import check_shown
from operators.task_context import who_started

CANCEL = "Cancel"
PATIENCE = timedelta(hours=24)
LEAST_REASON = 3  # letters
log = logging.getLogger("ml_tasks.rollback")  # the reason is the task's last own line


def reason_field() -> Param:
    """Why somebody goes back; empty is allowed only where it is asked for again."""
    return Param(
        None,
        type=["null", "string"],
        minLength=LEAST_REASON,
        maxLength=500,
        title="Reason",
        description="Why: it is written to the ledger and the audit log with your name.",
    )


class ChooseRelease(HITLOperator, SkipMixin):  # type: ignore[misc]
    """Gives the choice of the form; without one, asks. Cancelled or not answered, nothing moves."""

    inherits_from_skipmixin = True

    def __init__(self, **kwargs: Any) -> None:
        # In place of the DAG's, which Airflow has put there: only this is asked for.
        kwargs["params"] = {"reason": reason_field()}
        super().__init__(
            subject="Which release shall serve again?",
            options=[CANCEL],  # the versions are known only when the task runs
            defaults=CANCEL,  # the answer if nobody gives one in time
            response_timeout=PATIENCE,
            **kwargs,
        )

    def execute(self, context: Any) -> Any:
        """Gives the choice of the form, or asks with what can be chosen now."""
        from ml_tasks import rollback
        from operators.operation_task import run_operation

        form = context["params"]
        if form.get("version"):
            who = who_started(context)
            return self._chosen(context, form["version"], form.get("reason"), who)
        asked = run_operation(rollback.question)
        self.options = [*asked["versions"], CANCEL]
        self.body = asked["body"]
        if form.get("reason"):
            self.params["reason"] = form["reason"]
        check_shown(
            self,
            context,
            "What serves, or what can serve again, has changed since this task asked, and Airflow "
            "would show the list of then: nobody shall choose by it. Start a new rollback",
        )
        log.info("asking which of %d releases shall serve again", len(asked["versions"]))
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Goes by the answer; Airflow has held it against the options that were offered."""
        if "error" in event:
            self.process_trigger_event_error(event)
        answer = (event.get("chosen_options") or [CANCEL])[0]
        user = event.get("responded_by_user") or {}
        who = str(user.get("name") or user.get("id") or "")
        reason = (event.get("params_input") or {}).get("reason")
        if event.get("timedout"):
            return self._nothing(context, "nobody answered within 24 hours, so nothing is moved")
        if answer == CANCEL:
            told = f": {reason}" if reason else ""
            return self._nothing(context, f"cancelled by {who or 'somebody'}{told}")
        return self._chosen(context, answer, reason, who)

    def _chosen(self, context: Any, version: str, reason: str | None, who: str) -> Any:
        from ml_tasks import rollback
        from operators.operation_task import run_operation

        try:
            return run_operation(lambda config: rollback.choose(config, version, reason, who))
        except AirflowSkipException as skipped:
            return self._nothing(context, str(skipped))

    def _nothing(self, context: Any, reason: str) -> None:
        """Ends green; what follows is skipped."""
        log.info("%s", reason)
        self.skip(ti=context["ti"], tasks=context["task"].get_direct_relatives(upstream=False))
