"""Tells people what happened by e-mail or webhook, where config.yaml names a connection for it.

Off until then. A notice that cannot be sent is a warning in the log and never fails a task.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from operators.task_context import config_file

if TYPE_CHECKING:
    from ml_tasks.pages.notice import Notice

log = logging.getLogger(__name__)

_SECONDS = 20.0  # for a webhook to answer
_WEBHOOKS = ("slackwebhook", "http", "https")


class _NotSendable(Exception):
    """The connection, or the list of people, is not one by which a notice can go."""


class MammoNotifier(BaseNotifier):  # type: ignore[misc]  # Airflow's stub has it as Any
    """A notice of one kind of event: `on_failure_callback=MammoNotifier("failure")`.

    `line` says what happened where the context cannot tell (drift).
    """

    def __init__(self, event: str, line: str = "", context: Any = None) -> None:
        super().__init__(context)  # the triggerer hands it over here
        self.event = event
        self.line = line

    async def async_notify(self, context: Any) -> None:
        """The same in the triggerer, where a deadline is told of."""
        from asgiref.sync import sync_to_async

        # Not asyncio.to_thread: the connection is asked for through the triggerer's own loop.
        await sync_to_async(self.notify)(context)

    def notify(self, context: Any) -> None:
        """Sends it, if config.yaml wants notices of this event, as it says now."""
        from ml_tasks.config_operation import load_notifications

        try:
            settings = load_notifications(config_file())
            if settings.connection is None or self.event not in settings.events:
                return
            notice = notice_of(self.event, context, self.line)
            _send(notice, settings.connection, settings.to)
        # Whatever is wrong with a mail server: a task that went well has gone well. The error's
        # own text may hold the address of a webhook, which is a secret.
        except Exception as error:  # noqa: BLE001
            log.warning(
                "the notice of this %s was not sent (%s); see whether the connection named in "
                "config.yaml, notifications.connection, exists and is right",
                self.event,
                _kind(error),
            )
        else:
            log.info("told by the connection %s: %s", settings.connection, notice.subject())


def notice_of(event: str, context: Mapping[str, Any], line: str = "") -> Notice:
    """The message about the run of a context: a task's own, or the short one of a deadline."""
    from airflow.sdk.configuration import conf

    from ml_tasks.pages.notice import Notice, NoticeEvent, page_link

    kind = NoticeEvent(event)
    run, task = context["dag_run"], context.get("ti")
    dag_id = run["dag_id"] if isinstance(run, Mapping) else run.dag_id
    run_id = run["dag_run_id"] if isinstance(run, Mapping) else run.run_id
    task_id = None if task is None else task.task_id
    base = conf.get("api", "base_url", fallback=None) or "http://localhost:8080"
    return Notice(
        event=kind,
        dag=dag_id,
        run=run_id,
        line=line or _line(kind, context, run_id, task_id),
        link=page_link(base, dag_id, run_id, task_id),
    )


def _line(event: str, context: Mapping[str, Any], run_id: str, task_id: str | None) -> str:
    from ml_tasks.pages import notice

    if event == notice.NoticeEvent.FAILURE:
        return notice.failure_line(task_id, context.get("exception"))
    if event == notice.NoticeEvent.LATE:
        return notice.late_line(str((context.get("deadline") or {}).get("deadline_time", "")))
    if event == notice.NoticeEvent.DRIFT:
        return "the report says what has changed"
    from ml_tasks.config import load_config
    from ml_tasks.records import Decision
    from ml_tasks.run_paths import RunPaths

    decision = RunPaths(load_config(config_file()).paths.runs, run_id).load(Decision)
    asked = "please decide whether it ships: " if event == notice.NoticeEvent.APPROVAL else ""
    return f"{asked}{notice.verdict_line(decision)}"


def _send(notice: Notice, connection: str, to: tuple[str, ...]) -> None:
    from airflow.sdk import Connection

    found = Connection.get(connection)
    if found.conn_type == "smtp":
        _mail(notice, connection, to)
    elif found.conn_type in _WEBHOOKS:
        _post(notice, found)
    else:
        raise _NotSendable(f"a connection of type {found.conn_type} sends no notices")


def _mail(notice: Notice, connection: str, to: tuple[str, ...]) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    if not to:
        raise _NotSendable("notifications.to names nobody")
    with SmtpHook(smtp_conn_id=connection) as hook:
        hook.send_email_smtp(
            to=list(to),
            subject=notice.subject(),
            html_content=notice.html(),
            from_email=hook.from_email or to[0],
        )


def _post(notice: Notice, connection: Any) -> None:
    import httpx

    login = (connection.login, connection.password or "") if connection.login else None
    answer = httpx.post(
        webhook_address(connection), json=notice.payload(), timeout=_SECONDS, auth=login
    )
    answer.raise_for_status()


def webhook_address(connection: Any) -> str:
    """The address that a connection means.

    Slack's own kind holds the secret path as its password; the path of others is their extra
    `endpoint`, or the path of the address that they were made from.
    """
    slack = connection.conn_type == "slackwebhook"
    token = (connection.password or "") if slack else ""
    if "://" in token:
        return token
    host = connection.host or ("hooks.slack.com/services" if slack else "")
    protocol, parts = connection.schema or "", []
    if protocol not in ("http", "https"):
        parts, protocol = [protocol], "http" if connection.conn_type == "http" else "https"
    port = f":{connection.port}" if connection.port else ""
    base = host if "://" in host else f"{protocol}://{host}{port}"
    parts += [str(connection.extra_dejson.get("endpoint", "")), token]
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts if part)])


def _kind(error: Exception) -> str:
    """The kind of an error, and what our own messages say; others may quote the address."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"the webhook answered {status}"
    return str(error) if isinstance(error, _NotSendable) else type(error).__name__
