"""The deadline of a DAG's runs: people are told of one that has not come to its end in time."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference


def late_after(interval: timedelta) -> DeadlineAlert:
    """Told of once a run was queued so long ago and has not ended: `deadline=late_after(…)`.

    The triggerer sends the notice: on Airflow 3.3 a callback of an executor may read no connection.
    It finds this folder by PYTHONPATH, which the local stack and docker-compose set.
    """
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=interval,
        callback=AsyncCallback("operators.notifier.MammoNotifier", {"event": "late"}),
    )
