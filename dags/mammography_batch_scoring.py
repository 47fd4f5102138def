"""Scores a folder of images with the release that is in production: one row for each image.

`plan → score (one task for each shard) → assemble`

**Starts** by hand, with **Trigger**; the form asks for the folder. An empty field means "as
config.yaml says". Research use; an answer is not a diagnosis.

| task | what it does |
|---|---|
| plan | lists the folder, at any depth, and looks up what is in production, once: the whole batch stays with that release, whatever is shipped meanwhile |
| score | cleans and scores the images of one shard, chunk after chunk, by the same code as the service; a file that cannot be scored gets a row with the reason |
| assemble | writes the tables and the page, once every planned image has its row |

**Results** are in `<paths.scoring>/<name>/`: `summary.html`, `summary.json`, `predictions.csv` and
`predictions.parquet`, one row for each image: probability, class, threshold, version, quality
warnings, error. The folder appears when all of it is there, never before. What has no row (hidden
files, tables and texts, links to folders) is counted on the page.

**A red task** says in its log what is wrong and what to do; mend that, then clear the task.
**A re-run** goes on where the last try was: chunks that are scored are kept, and no image is lost
or scored twice, but for the chunk that was in flight. Files that come after the plan are not in
the batch; a file that is changed or removed after it gets a row that says so. A batch that is
finished is never scored anew: clearing its tasks leaves it as it is.

The work is done by `ml_tasks.batch_scoring`; `mammo batch_scoring --folder DIR` runs it without
Airflow. Columns and codes: docs/batch-scoring.md.
"""  # noqa: E501 - rows of a table

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from operators.notifier import MammoNotifier

FORM = {
    # Without a default the form does not start before it is filled in: no folder is the usual one.
    "folder": Param(
        type="string",
        pattern="^/",
        title="Folder",
        description="Of images, at any depth, as the workers see it: an absolute path.",
    ),
    "name": Param(
        None,
        type=["null", "string"],
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$",
        maxLength=120,
        title="Name",
        description="Of the batch and its folder; empty: made from the run. The name of a batch "
        "that was stopped goes on with it.",
    ),
    "shards": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=1000,
        title="Shards",
        description="Tasks that work side by side.",
    ),
    "format": Param(
        None,
        type=["null", "string"],
        enum=[None, "csv", "parquet", "both"],
        title="Format",
        description="Of the table.",
    ),
}


@dag(
    dag_display_name="Mammography batch scoring",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,  # a batch takes the whole machine; the next one waits
    params=FORM,
    tags=["mammography"],
    default_args={
        "retries": 1,  # what may pass by itself: a disk full, the registry away
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=2),
        "on_failure_callback": MammoNotifier("failure"),
        "show_return_value_in_logs": False,  # the last line says it for people
    },
)
def mammography_batch_scoring() -> None:
    @task(doc_md="Lists the folder and fixes the release that scores all of it.")
    def plan() -> list[int]:
        from operators.scoring_task import plan

        return plan()

    @task(
        # Each try goes on after the last chunk that was committed, so that more tries cost little.
        retries=3,
        execution_timeout=timedelta(days=1),
        doc_md="Scores the images of one shard; goes on where an earlier try was stopped.",
    )
    def score(shard: int) -> int:
        from operators.scoring_task import score

        return score(shard)

    @task(doc_md="Writes the tables and summary.html, once every planned image has its row.")
    def assemble() -> dict[str, Any]:
        from operators.scoring_task import assemble

        return assemble()

    score.expand(shard=plan()) >> assemble()


mammography_batch_scoring()
