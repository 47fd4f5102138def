"""A DAG for the tests alone: the question to a person, about a run that is judged already."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from operators.approval import PersonApproval


@dag(schedule=None, catchup=False)
def approval_only() -> None:
    approve = PersonApproval(task_id="approve", execution_timeout=timedelta(minutes=5))

    @task
    def build_image() -> str:
        return "reached"

    approve >> build_image()


approval_only()
