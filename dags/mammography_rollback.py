"""Takes `production` back to a release of before, in minutes, without a build.

`choose → smoke_test → move`

**Start it with Trigger.** Name the version in the form with a reason, or leave the version empty: the
task `choose` then asks in this page (*Required Actions*), with every release that can serve again.
**Cancel**, or no answer within 24 hours, moves nothing; the run ends green and says so.

| task | what it does | what it leaves |
|---|---|---|
| choose | takes the version of the form, else asks; only what was in production once, whose image is whole in the registry and whose bundle is as it was sealed | who chose what, and why |
| smoke_test | pulls that image by its digest, checks it as `mammo verify` does, runs it as in production and holds its answers on phantoms against those of its own sealed bundle | `releases/<version>/record/retested.json` |
| move | moves `production` to the very digest that was tested, in one step | a line in the ledger and in the audit log; MLflow's alias follows |

**A red task** has moved nothing, and says in its log what is wrong and what to do. Cleared, a task runs
again and ends the same; `move` done twice moves once. A version that serves already is a green run that
moves nothing.

The service of docker-compose's stack follows by itself (**Mammography deployment**). **Who serves the image
elsewhere must pull it afterwards**: `docker pull …:production`, then start anew. In a hurry and without the smoke test: `mammo rollback VERSION --reason TEXT`. docs/operating.md says more.

The work is done by `ml_tasks/rollback.py`.
"""  # noqa: E501 - rows of a table

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from operators.assets import PRODUCTION
from operators.choose_release import ChooseRelease, reason_field
from operators.notifier import MammoNotifier


@dag(
    dag_display_name="Mammography rollback",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "version": Param(
            None,
            type=["null", "string"],
            pattern=r"^\d{8}T\d{6}Z-[0-9a-f]{12}$",
            title="Version",
            description="That shall serve again, as `mammo releases` lists it. Empty: the task "
            "`choose` asks, with all that can.",
        ),
        "reason": reason_field(),
    },
    tags=["mammography"],
    default_args={
        "queue": "build",  # the worker that has the Docker socket and the releases
        # What may pass by itself: an engine restarted, a registry away. The rest fails at once.
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(minutes=30),  # the wait for a person does not count
        "on_failure_callback": MammoNotifier("failure"),
        "show_return_value_in_logs": False,  # the task's own last line says it for people
    },
)
def mammography_rollback() -> None:
    choose = ChooseRelease(
        task_id="choose",
        doc_md="The version of the form, else asks for one; see Required Actions.",
    )

    @task(doc_md="Runs that very image, by its digest, and compares its answers.")
    def smoke_test(choice: dict[str, Any]) -> dict[str, Any]:
        from ml_tasks.rollback import retest
        from operators.operation_task import run_operation

        return run_operation(lambda config: retest(config, choice["version"]))

    @task(
        pool="production",
        outlets=[PRODUCTION],  # the stack's service follows, by mammography_deployment
        doc_md="Moves `production` to the tested digest, and audits it.",
    )
    def move(choice: dict[str, Any], tested: dict[str, Any]) -> dict[str, Any]:
        from ml_tasks.rollback import Choice, Retested, move_production
        from operators.operation_task import run_operation
        from operators.production_event import announced

        return announced(
            run_operation(
                lambda config: move_production(
                    config, Choice.model_validate(choice), Retested.model_validate(tested)
                )
            )
        )

    move(choose.output, smoke_test(choose.output))


mammography_rollback()
