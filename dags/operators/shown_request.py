"""A request that Airflow really shows: when a task is cleared, it keeps the first one."""

from __future__ import annotations

from typing import Any

from airflow.sdk.exceptions import AirflowFailException


def check_shown(operator: Any, context: Any, remedy: str) -> None:
    """Refuses to wait for an answer to another request than the operator's own.

    Raises:
        AirflowFailException: the page would show the request of before; ends with `remedy`.
    """
    from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    shown = SUPERVISOR_COMMS.send(
        CreateHITLDetailPayload(
            ti_id=context["task_instance"].id,
            options=operator.options,
            subject=operator.subject,
            body=operator.body,
            defaults=operator.defaults,
            multiple=operator.multiple,
            params=operator.serialized_params,
            assigned_users=[],
        )
    )
    if shown.body != operator.body:
        raise AirflowFailException(remedy)
