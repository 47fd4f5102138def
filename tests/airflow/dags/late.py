"""Is late after two seconds, to see a deadline alert fire; only tests copy it to Airflow."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from operators.lateness import late_after


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    deadline=late_after(timedelta(seconds=2)),
)
def late() -> None:
    @task(execution_timeout=timedelta(hours=1))
    def wait() -> None:
        import time

        time.sleep(3000)  # until the test ends the run

    wait()


late()
