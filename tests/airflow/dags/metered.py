"""A task in a pool, and one that fails when told to, to be counted; only tests run it."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, get_current_context, task


@dag(schedule=None, catchup=False, max_active_runs=1, params={"fail": False, "until": ""})
def metered() -> None:
    @task(pool="gpu", execution_timeout=timedelta(minutes=15))
    def work() -> None:
        """Goes on until the test has seen it run, and says so by the file `until`."""
        import time
        from pathlib import Path

        seen = Path(get_current_context()["params"]["until"])
        while not seen.exists():
            time.sleep(0.2)

    @task(execution_timeout=timedelta(minutes=1))
    def end() -> None:
        if get_current_context()["params"]["fail"]:
            raise RuntimeError("this task was told to fail")

    work() >> end()


metered()
