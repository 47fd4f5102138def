"""What a notice says: which run, one line, a link. No patient, no file name, no path."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from html import escape
from urllib.parse import quote

from ml_tasks.errors import MammoError
from ml_tasks.records import Decision, Record


class NoticeEvent(StrEnum):
    """What people are told of; config.notifications.events names them."""

    FAILURE = "failure"
    VERDICT = "verdict"
    APPROVAL = "approval"
    LATE = "late"
    DRIFT = "drift"


_TITLES = {
    NoticeEvent.FAILURE: "a task failed",
    NoticeEvent.VERDICT: "the gate has judged a model",
    NoticeEvent.APPROVAL: "a decision is asked for",
    NoticeEvent.LATE: "a run is late",
    NoticeEvent.DRIFT: "the service's images have drifted",
}
_NAME_OF_ERROR = re.compile(r"[A-Z][A-Za-z]{2,60}(?=: |$)")


class Notice(Record):
    """One message about one run of a DAG."""

    event: NoticeEvent
    dag: str
    run: str
    line: str
    link: str

    def subject(self) -> str:
        """For an e-mail."""
        return f"Mammography pipeline: {_TITLES[self.event]}"

    def text(self) -> str:
        """For people, in plain text."""
        return f"{self.subject()}\n{self.dag}, run {self.run}: {self.line}\n{self.link}"

    def html(self) -> str:
        """The same for an e-mail's body."""
        link = escape(self.link)
        return (
            f"<p>{escape(self.dag)}, run {escape(self.run)}:</p><p>{escape(self.line)}</p>"
            f'<p><a href="{link}">{link}</a></p>'
        )

    def payload(self) -> dict[str, str]:
        """For a webhook; Slack's incoming webhooks show `text`."""
        return {"text": self.text(), **self.model_dump(mode="json", exclude={"line"})}


def page_link(base: str, dag: str, run: str, task: str | None = None) -> str:
    """The address of a run, or of one of its tasks, in the Airflow page at `base`."""
    link = f"{base.rstrip('/')}/dags/{quote(dag, safe='')}/runs/{quote(run, safe='')}"
    return f"{link}/tasks/{quote(task, safe='')}" if task else link


def failure_line(task: str | None, error: object) -> str:
    """Which task failed by which kind of error; what the error says may name a patient's file."""
    kind = "stopped" if error is None else type(error).__name__
    found = _NAME_OF_ERROR.match(str(error))
    if found and found.group() in _kinds(MammoError):  # what else stands there may be a name
        kind = found.group()
    return f"{task or 'the run'} failed ({kind}); its log says what is wrong and what to do"


def _kinds(kind: type[MammoError]) -> set[str]:
    """The names of our own errors, which Airflow's stand for in a task."""
    return {kind.__name__}.union(*(_kinds(below) for below in kind.__subclasses__()))


def verdict_line(decision: Decision) -> str:
    """The verdict and the rules that decided it."""
    return f"the model {decision.summary()}"


def late_line(deadline: str) -> str:
    """Until when the run should have come to its end; ISO 8601, or whatever was given."""
    try:
        due = f"{datetime.fromisoformat(deadline):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        due = deadline
    return (
        f"it has not come to its end by {due}; look whether it waits for a worker, for a decision, "
        "or for an earlier run"
    )
