"""Lets the stack's inference service run what `production` names: the new release first, then no old one.

`deploy_service`

**Starts** as soon as `production` moves (an event of the asset `mammography_production`, which push_model of
the retraining and move of the rollback emit), and every ten minutes, to mend a service that is gone or not as
it should be: removed by hand, or left by a worker that was lost. By hand with **Trigger**. Switch it on once,
where the stack's service shall follow; `mammo deploy_service` on the builder does the same.

| step | what it does |
|---|---|
| look | reads what `production` names; goes on only if the ledger's last move says so, too. Serves it already, and is ready: done |
| verify | every check of `mammo verify` must hold: layers, signature, ledger, approval |
| start | runs that very digest beside what serves, confined, and waits for its /ready |
| take over | gives it the name `inference-live`, which the front asks every second; notes it in the audit log |
| end | stops the old one, which finishes what it is answering, and removes it |

**Nobody is left without an answer**: the old release serves until the new one does. **A red task** has changed
nothing: the tag was moved past this pipeline, the image is not as it was signed, or the new release never
became ready (its last lines stand in the log). What served goes on. Mend that, then clear the task.

**Skipped** means that there is no service to follow: nothing was ever released, or `MAMMO_SERVICE_NETWORK` is
not set, as on one machine, where `make demo` starts the service. There this DAG may stay switched off.

The work is done by `ml_tasks/deploy_service.py`; docs/service.md says more.
"""  # noqa: E501 - rows of a table

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, dag, task

from operators.assets import PRODUCTION
from operators.notifier import MammoNotifier

MENDING = "*/10 * * * *"


@dag(
    dag_display_name="Mammography deployment",
    doc_md=__doc__,
    # An event alone could be lost: Airflow keeps none for a DAG that is switched off, and a stack
    # that was down comes up without its service. Switched on, it looks at once.
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable(MENDING, timezone="UTC", run_immediately=True),
        assets=PRODUCTION,
    ),
    catchup=False,
    max_active_runs=1,
    tags=["mammography"],
    default_args={
        "queue": "build",  # the worker that has the Docker socket and the registry's login
        "retries": 2,  # an engine restarted, a registry away; the rest fails at once
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(minutes=15),
        "on_failure_callback": MammoNotifier("failure"),
        "show_return_value_in_logs": False,  # the task's own last line says it for people
    },
)
def mammography_deployment() -> None:
    @task(doc_md="Starts what `production` names beside what serves, then lets it take over.")
    def deploy_service() -> dict[str, Any]:
        from ml_tasks.deploy_service import deploy_service
        from operators.operation_task import run_operation

        return run_operation(deploy_service)

    deploy_service()


mammography_deployment()
