"""Cleans a folder again and again, for `python -m benchmarks --only scale` alone."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from operators.form import FORM


@dag(schedule=None, catchup=False, max_active_runs=1, params=FORM)
def mammography_scale() -> None:
    @task
    def validate_data() -> dict[str, Any]:
        from operators.stage_task import run_stage

        return run_stage("validate_data")

    @task
    def plan() -> list[int]:
        from operators.stage_task import run_stage

        return list(range(run_stage("plan_cleaning")["shards"]))

    @task(doc_md="Empties the cache, so that cleaning examines every film itself.")
    def forget() -> None:
        import shutil

        from ml_tasks.config import load_config
        from operators.task_context import config_file

        shutil.rmtree(load_config(config_file()).paths.cache, ignore_errors=True)

    @task
    def clean(shard: int) -> dict[str, Any]:
        from operators.stage_task import run_stage

        return run_stage("clean_shard", shard=shard)

    shards = plan()
    validate_data() >> shards
    shards >> forget() >> clean.expand(shard=shards)


mammography_scale()
