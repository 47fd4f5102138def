"""The deadline of a DAG's runs: people are told of one that has not come to its end in time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert


class FirstQueued(BaseDeadlineReference):  # type: ignore[misc]  # Airflow is not typed here
    """When a run was first queued; the plugin makes it known to Airflow.

    Airflow's own DAGRUN_QUEUED_AT is set anew when a task is cleared, and Airflow 3.3.2 fails over
    that (apache/airflow#70368): nobody could clear a task of a DAG with such a deadline.
    """

    required_kwargs: ClassVar[frozenset[str]] = frozenset({"dag_id", "run_id"})

    def _evaluate_with(self, *, session: Any, dag_id: str, run_id: str) -> datetime | None:
        from airflow.models import DagRun
        from sqlalchemy import select

        run = select(DagRun.queued_at).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        queued: datetime | None = session.scalar(run)
        return queued


def late_after(interval: timedelta) -> DeadlineAlert:
    """Told of once a run was queued so long ago and has not ended: `deadline=late_after(…)`.

    The triggerer sends the notice: on Airflow 3.3 a callback of an executor may read no connection.
    It finds this folder by PYTHONPATH, which the local stack and docker-compose set.
    """
    return DeadlineAlert(
        reference=FirstQueued(),
        interval=interval,
        callback=AsyncCallback("operators.notifier.MammoNotifier", {"event": "late"}),
    )
