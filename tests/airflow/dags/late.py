"""Is late after two seconds, to see a deadline alert fire; only tests copy it to Airflow."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback, dag, task


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=2),
        callback=SyncCallback("operators.notifier.MammoNotifier", {"event": "late"}),
    ),
)
def late() -> None:
    @task(execution_timeout=timedelta(minutes=5))
    def wait() -> None:
        import time

        time.sleep(240)  # until the test ends the run

    wait()


late()
