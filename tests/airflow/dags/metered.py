"""A task in a pool, and one that fails when told to, to be counted; only tests run it."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, get_current_context, task


@dag(schedule=None, catchup=False, max_active_runs=1, params={"fail": False})
def metered() -> None:
    @task(pool="gpu", execution_timeout=timedelta(minutes=1))
    def work() -> None:
        import time

        time.sleep(4)  # long enough to be seen running

    @task(execution_timeout=timedelta(minutes=1))
    def end() -> None:
        if get_current_context()["params"]["fail"]:
            raise RuntimeError("this task was told to fail")

    work() >> end()


metered()
