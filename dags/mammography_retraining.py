"""Takes raw mammograms to a tested, pushed Docker image of the inference service.

`validate_data → check_changes → preprocess (plan → clean, in shards → assemble) → train →
evaluate → gate → approve → build_image → smoke_test → push_model`

**Starts** every Monday at 03:00 UTC, when new data are announced (an event of the asset
`mammography_new_data`, whose extra names the folder: `{"data_dir": "/data/raw"}`), or by hand with
**Trigger**. An empty field of the form means "as config.yaml says".

| stage | what it does | what it leaves in `runs/<run>/` |
|---|---|---|
| validate_data | lists and measures every image, holds a Great Expectations suite to them | `validate_data/` manifest, report, Data Docs |
| check_changes | ends the run, green, if data, settings and code are those of the last completed run | `check_changes/` the three hashes |
| preprocess.plan | gives each patient a split for good, certifies that no picture is in two | `plan_cleaning/` plan, leakage certificate |
| preprocess.clean | removes borders, labels and tape, crops to 128x128; one task for each shard | `clean_shard/` films |
| preprocess.assemble | puts the cleaned set together and looks at what cleaning did | `cleaned/` pictures, index, image spec, report |
| train | trains DenseNet-121, one line in the log for each epoch | `train/` model.h5, classes.json, history; `logs/` |
| evaluate | judges the very model that would ship, on patients it has never seen | `evaluate/` model.onnx, metrics, report |
| gate | PASS, FAIL or INCONCLUSIVE, with one sentence for each rule | `gate/` decision.json |
| approve | asks a person, where one must decide (Required Actions); else ends at once | `approve/`, `releases/audit.jsonl` |
| build_image | seals the release and builds the image | `build_image/`, `releases/<version>/` |
| smoke_test | runs that very image and compares its answers with the evaluated ones | `smoke_test/` smoke.json |
| push_model | pushes it, checks the digest, then moves `production` | `push_model/`, `releases/<version>/record/` |

**Announced data** are used exactly as they were announced, whatever has come since; of several
folders announced while a run went on, only the newest is used, with a warning: announce one after
the other. **Nothing new** means that what follows check_changes is skipped, with the run that it is
equal to; tick *Train even if nothing changed* to train all the same.

**A model that does not pass the gate is a normal outcome:** the run is green, what follows is skipped,
and the reasons are the last lines of the gate's log. INCONCLUSIVE means that the test patients are too
few to tell; such a model ships only if a person approves it, with a reason. A rejection and no answer in
time (`approval.timeout_hours`) end green, too. The answer stands in the log that `mammo audit` shows. **A red task** says in its log what is wrong and
what to do; mend that, then clear the task: it and what follows run again. A re-run of a stage
replaces its own output and nothing else; train goes on after its last complete epoch. A changed setting needs a new run. One run goes at a time; `production` moves last.

The work is done by the package `ml_tasks`, one module for each stage; `mammo <stage>` runs it
without Airflow.
"""  # noqa: E501 - rows of a table

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import (
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    dag,
    task,
    task_group,
)

from operators.approval import PersonApproval
from operators.assets import NEW_DATA, PRODUCTION, RETRAINING_WANTED
from operators.form import FORM
from operators.lateness import late_after
from operators.notifier import MammoNotifier

WEEKLY = "0 3 * * 1"  # Monday, 03:00 UTC


@dag(
    dag_display_name="Mammography retraining",
    doc_md=__doc__,
    # Switching the DAG on must not at once start the run of last Monday. No start date, and a zero
    # interval: with run_immediately=False Airflow 3.3 still starts a run that is less than a tenth
    # of a week late.
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable(WEEKLY, timezone="UTC", run_immediately=timedelta(0)),
        assets=NEW_DATA | RETRAINING_WANTED,
    ),
    catchup=False,
    max_active_runs=1,
    # Told of in time before the next Monday: three days that a try of train may take, and three
    # that a decision may by default. Waiting in the queue counts, and so does waiting for a person.
    deadline=late_after(timedelta(days=6)),
    params=FORM,
    tags=["mammography"],
    default_args={
        # One more try for what may pass by itself: a worker lost, a disk full, an engine
        # restarted. Wrong data or settings fail at once.
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=6),
        "on_failure_callback": MammoNotifier("failure"),
        "show_return_value_in_logs": False,  # the stage's own last line says it for people
    },
)
def mammography_retraining() -> None:
    @task(doc_md="Lists and measures every image; see report.html and the Data Docs of the run.")
    def validate_data() -> dict[str, Any]:
        from operators.stage_task import run_stage

        return run_stage("validate_data")

    @task.short_circuit(doc_md="Goes on only if data, settings or code are new, or if forced.")
    def check_changes() -> bool:
        from operators.stage_task import run_stage

        record = run_stage("check_changes")
        return bool(record["changed"] or record["forced"])

    @task_group(group_id="preprocess")
    def preprocess() -> None:
        @task(doc_md="Places each patient in a split for good; certifies that nothing leaks.")
        def plan() -> list[int]:
            from operators.stage_task import run_stage

            return list(range(run_stage("plan_cleaning")["shards"]))

        @task(doc_md="Cleans the films of one shard to 128x128.")
        def clean(shard: int) -> dict[str, Any]:
            from operators.stage_task import run_stage

            return run_stage("clean_shard", shard=shard)

        @task(doc_md="Puts the shards together; see report.html with the contact sheets.")
        def assemble() -> dict[str, Any]:
            from operators.stage_task import run_stage

            return run_stage("assemble_cleaned")

        clean.expand(shard=plan()) >> assemble()

    @task(
        queue="gpu",
        pool="gpu",
        # A try that ends, by this limit too, costs an epoch at most: the next goes on after the
        # last complete one. So there are more tries than elsewhere, and time for a worker to come
        # back. Wrong data or settings and a loss that is no number fail at once: they would again.
        # Task token, heartbeat and the broker's patience outlast this limit: docs/training.md.
        execution_timeout=timedelta(days=3),
        retries=3,
        retry_delay=timedelta(minutes=5),
        doc_md="Trains DenseNet-121, on a GPU where there is one; one line for each epoch. "
        "Stopped or failed, it goes on after its last complete epoch when it runs again.",
    )
    def train() -> dict[str, Any]:
        from operators.stage_task import run_stage

        return run_stage("train")

    @task(queue="gpu", pool="gpu", doc_md="Judges the ONNX model that would ship.")
    def evaluate() -> dict[str, Any]:
        from operators.stage_task import run_stage

        return run_stage("evaluate")

    @task.short_circuit(
        on_success_callback=MammoNotifier("verdict"),
        doc_md="PASS, FAIL or INCONCLUSIVE with the reasons. A PASS goes on, and INCONCLUSIVE "
        "where a person is to be asked.",
    )
    def gate() -> bool:
        from operators.stage_task import gate_opens

        return gate_opens()

    approve = PersonApproval(
        task_id="approve",
        notifiers=MammoNotifier("approval"),
        # Of the work before and after the wait; the wait itself has approval.timeout_hours.
        execution_timeout=timedelta(minutes=15),
        doc_md="Asks a person on the page (Required Actions): where the gate cannot tell, always, "
        "or never (`approval.ask`). Cleared, it asks again.",
    )

    @task(queue="build", doc_md="Seals the release and builds the image of the service.")
    def build_image() -> dict[str, Any]:
        from operators.stage_task import run_stage

        return run_stage("build_image")

    @task(queue="build", doc_md="Runs the built image and compares its answers.")
    def smoke_test() -> dict[str, Any]:
        from operators.stage_task import run_stage

        return run_stage("smoke_test")

    @task(
        queue="build",
        pool="production",
        outlets=[PRODUCTION],  # the stack's service follows, by mammography_deployment
        retries=2,  # a registry may be away for longer
        doc_md="Pushes the image, checks its digest in the registry, then moves `production`.",
    )
    def push_model() -> dict[str, Any]:
        from operators.production_event import announced
        from operators.stage_task import run_stage

        return announced(run_stage("push_model"))

    (
        validate_data()
        >> check_changes()
        >> preprocess()
        >> train()
        >> evaluate()
        >> gate()
        >> approve
        >> build_image()
        >> smoke_test()
        >> push_model()
    )


mammography_retraining()
