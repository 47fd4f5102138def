"""Tells the pipeline that new data have come, and which files they are.

`look → take_flag`

**Starts** every five minutes, or by hand with **Trigger**. Copy the images into the raw folder
(`paths.raw` of config.yaml, one folder for each class), then put an empty file `_READY` beside the
class folders: `touch data/raw/_READY`. By hand, name any folder that the workers see; it needs no
flag. A program may announce data itself, by an event of the asset `mammography_new_data` with the
extra `{"data_dir": "/data/raw", "images": 322}`.

| task | what it does |
|---|---|
| look | lists and hashes every file (a **snapshot** in `paths.snapshots`, with the two tables), then makes the event of the asset `mammography_new_data`: the retraining starts |
| take_flag | renames `_READY` to `_TAKEN-<time>`, after the event: what is killed in between announces the same snapshot again, and the retraining then skips it as unchanged |

**The retraining uses exactly the files of the snapshot**, even if more arrive before or while it
runs; a file that is missing or changed by then fails it with the list. Put `_READY` there again for
the ones that came later. **No flag** is a green run whose tasks are skipped; so is a flag while the retraining is paused, which
would not hear of it. **A red look** says
what is wrong: a copy that is still going on, a folder that cannot be read. The flag stays, and the
next look tries again. A re-run looks anew.

The work is done by `ml_tasks.announce`; `mammo announce --data DIR` does it without Airflow.
"""  # noqa: E501 - rows of a table

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, task

from operators.assets import NEW_DATA
from operators.notifier import MammoNotifier

EVERY_FIVE_MINUTES = "*/5 * * * *"


@dag(
    dag_display_name="Mammography new data",
    doc_md=__doc__,
    # Switched on, it looks at the next full five minutes; a look that was missed is not made up.
    schedule=CronTriggerTimetable(EVERY_FIVE_MINUTES, timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,  # two looks at once would announce the same data twice
    params={
        "data_dir": Param(
            None,
            type=["null", "string"],
            minLength=1,
            title="Data directory",
            description="Announce this folder, without a flag. Empty: the raw folder of "
            "config.yaml, if `_READY` stands in it.",
        ),
    },
    tags=["mammography"],
    default_args={
        # A slow copy or a disk that is away may be over in a minute; else the next look tries.
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=6),  # a first look reads every file once
        "on_failure_callback": MammoNotifier("failure"),
        "show_return_value_in_logs": False,
    },
)
def mammography_new_data() -> None:
    @task(outlets=[NEW_DATA], doc_md="Lists what is there and announces it; skipped without flag.")
    def look() -> dict[str, Any]:
        from operators.new_data import look_for_data

        return look_for_data()

    @task(doc_md="Renames the flag, now that its data have been announced.")
    def take_flag(announced: dict[str, Any]) -> None:
        from operators.new_data import take_the_flag

        take_the_flag(announced)

    take_flag(look())


mammography_new_data()
