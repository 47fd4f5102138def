"""Compares what the service saw lately with what its model was trained on.

`compare → suggest → ask_for_retraining`

**Starts** every day at 05:00 UTC, or by hand with **Trigger**. An empty field of the form means "as
config.yaml says".

| task | what it does | what it leaves in `drift/<day>/` |
|---|---|---|
| compare | reads the statistics files of the service, compares the images of the production release with its own | `summary.html`, `report.html` (Evidently's), `verdict.json` |
| suggest | past the limits: notes in the audit log that a retraining is suggested | `suggestion.json` |
| ask_for_retraining | only with `drift.retrain: true`: emits the asset event that starts a retraining | the event, with the reason |

**The verdict** is the last line of compare: DRIFT, NO DRIFT, TOO FEW (images to tell) or CANNOT TELL
(nothing in production, or a release that keeps nothing to compare with). Each is green. What follows
is the last line of suggest. By default drift only suggests; what is not to be done is skipped.

**Never twice:** the same release and day are noted once, and between two suggestions or starts lie
`drift.cooldown_days`. A re-run replaces the report of its own day, notes nothing that is noted, and
emits no event that was emitted.

The work is done by `ml_tasks/watch_drift.py` and `ml_tasks/monitoring/`; `mammo watch_drift` runs it
without Airflow. docs/drift.md says what the distances mean and which limits to choose.
"""  # noqa: E501 - rows of a table

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, task

from operators.assets import RETRAINING_WANTED
from operators.lateness import late_after
from operators.notifier import MammoNotifier

DAILY = "0 5 * * *"  # 05:00 UTC


@dag(
    dag_display_name="Mammography drift",
    doc_md=__doc__,
    # Switching the DAG on starts no run of a day that is past.
    schedule=CronTriggerTimetable(DAILY, timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    deadline=late_after(timedelta(hours=20)),  # before the next day's comparison
    params={
        "retrain": Param(
            None,
            type=["null", "boolean"],
            title="Start a retraining",
            description="Yes: drift starts the retraining by itself. No: it only suggests it.",
        ),
        "window_days": Param(
            None,
            type=["null", "number"],
            exclusiveMinimum=0,
            maximum=366,
            title="Days",
            description="Images of so many days before this run are compared.",
        ),
    },
    tags=["mammography"],
    default_args={
        # For what may pass by itself: a registry that is away, a full disk.
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=1),
        "on_failure_callback": MammoNotifier("failure"),
        "show_return_value_in_logs": False,
    },
)
def mammography_drift() -> None:
    @task(doc_md="Holds the service's images against those of the training; see summary.html.")
    def compare() -> str:
        from operators.drift_task import compare

        return compare()

    @task.short_circuit(doc_md="Notes what follows; goes on only where a retraining is to start.")
    def suggest(day: str) -> bool:
        from operators.drift_task import suggest

        return suggest(day)

    @task(
        inlets=[RETRAINING_WANTED],  # to see which events were emitted before
        outlets=[RETRAINING_WANTED],
        doc_md="Emits the event that starts the retraining, with the reason; never twice.",
    )
    def ask_for_retraining(day: str) -> dict[str, Any]:
        from operators.drift_task import ask_for_retraining

        return ask_for_retraining(day)

    day = compare()
    suggest(day) >> ask_for_retraining(day)


mammography_drift()
