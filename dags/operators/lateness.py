"""The deadline of a DAG's runs: people are told of one that has not come to its end in time."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference


def late_after(interval: timedelta) -> DeadlineAlert:
    """Told of once a run was queued so long ago and has not ended: `deadline=late_after(…)`.

    An executor runs the notice in a process of its own, with the DAG folder on its path.
    """
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=interval,
        callback=SyncCallback("operators.notifier.MammoNotifier", {"event": "late"}),
    )
