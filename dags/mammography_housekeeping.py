"""Removes what is no longer needed: old runs, old images, old logs; by default it only says so.

`runs`, `images`, `logs`, side by side

**Starts** every Sunday at 05:00 UTC, or by hand with **Trigger**. Nothing is removed until
`housekeeping.remove` in config.yaml is true, or the form's **Remove** says yes for one run: until then
each task's log lists what may go, and what stays and why. An empty field means "as config.yaml says".

| task | what goes, once it is old | what never goes |
|---|---|---|
| runs | folders of `runs/`; listings of announced data that no run uses | the newest, the younger ones, those being worked on or waiting for a person, and the runs that made what serves, what stood before it or any release that stays, with all that these were made from |
| images | images of old releases, from registry and engine, as `mammo prune` | what serves, what stood before it, the newest; every record and bundle |
| logs | Airflow's task logs, the service's rotated statistics, drift reports | anything that is not named like those |

How many and how long: `housekeeping` in config.yaml. The ledgers, the audit log, the records of releases,
the results of batch scoring and the raw data are never touched.

**A red task** has not guessed: it does not know for sure what must stay (the registry is away, the ledger is
damaged), and has removed nothing; or the disk refused, and the rest is gone. Its log says what to do; then
clear it. A re-run finishes what a killed one had begun. Each removal is in the audit log.

The work is done by `ml_tasks/housekeeping.py`; docs/housekeeping.md says more.
"""  # noqa: E501 - rows of a table

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, task

from operators.notifier import MammoNotifier

WEEKLY = "0 5 * * 0"  # Sunday, 05:00 UTC: a day before the retraining


@dag(
    dag_display_name="Mammography housekeeping",
    doc_md=__doc__,
    # As the retraining: switched on, it must not at once start the run of last Sunday.
    schedule=CronTriggerTimetable(WEEKLY, timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    params={
        "remove": Param(
            None,
            type=["null", "boolean"],
            title="Remove",
            description="Yes: remove what may go. No: only say what may.",
        ),
    },
    tags=["mammography"],
    default_args={
        "queue": "build",  # the worker that has the registry's login and the Docker socket
        "retries": 1,  # a registry that is away for a while
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=2),
        "on_failure_callback": MammoNotifier("failure"),
        "show_return_value_in_logs": False,  # the task's own last line says it for people
    },
)
def mammography_housekeeping() -> None:
    @task(doc_md="Folders of old runs, and the listings of data that no run uses.")
    def runs() -> dict[str, Any]:
        from operators.housekeeping_tasks import tidy

        return tidy("runs")

    @task(doc_md="Images of old releases, from the registry and the engine.")
    def images() -> dict[str, Any]:
        from operators.housekeeping_tasks import tidy

        return tidy("images")

    @task(doc_md="Airflow's logs, the service's rotated statistics, drift reports.")
    def logs() -> dict[str, Any]:
        from operators.housekeeping_tasks import tidy

        return tidy("logs")

    runs()
    images()
    logs()


mammography_housekeeping()
