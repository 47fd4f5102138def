"""How long Airflow leaves between the tasks of a run: from one's end to the start of the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel

from ml_tasks.local_stack.airflow_api import AirflowApi


class TimedTask(BaseModel):
    """When a task instance was scheduled, queued, started and ended."""

    task_id: str
    map_index: int = -1
    state: str | None = None
    hostname: str | None = None
    scheduled_when: datetime | None = None
    queued_when: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None


class Delay(BaseModel):
    """Seconds after the last task that it waited for had ended."""

    task: str
    until_queued: float  # the scheduler has handed it to the broker
    until_started: float  # a worker has a process for it


def timed_tasks(api: AirflowApi, dag_id: str, run_id: str) -> list[TimedTask]:
    """The task instances of a run, latest tries."""
    found = api.call("GET", f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances")
    return [TimedTask.model_validate(task) for task in found["task_instances"]]


def upstream_of(api: AirflowApi, dag_id: str) -> dict[str, set[str]]:
    """The tasks that each task of a DAG waits for."""
    waits: dict[str, set[str]] = defaultdict(set)
    for task in api.call("GET", f"/dags/{dag_id}/tasks")["tasks"]:
        for after in task["downstream_task_ids"]:
            waits[after].add(task["task_id"])
    return dict(waits)


def delays(tasks: Sequence[TimedTask], upstream: Mapping[str, set[str]]) -> list[Delay]:
    """One for each task that ran after another; the first ones of a run have none.

    Of the shards of one task that share a worker, the second waits for the first: it counts from
    that one's end.
    """
    ended: dict[str, datetime] = {}
    for task in tasks:
        if task.end_date is not None:
            ended[task.task_id] = max(task.end_date, ended.get(task.task_id, task.end_date))
    found = []
    for task in tasks:
        if task.start_date is None or task.queued_when is None or task.state != "success":
            continue
        before = [ended[name] for name in upstream.get(task.task_id, ()) if name in ended]
        if not before:
            continue
        ready = max([*before, *_ends_of_earlier_shards(task, tasks)])
        queued = max(0.0, (task.queued_when - ready).total_seconds())
        started = (task.start_date - ready).total_seconds()
        found.append(Delay(task=task.task_id, until_queued=queued, until_started=started))
    return found


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The median and the 95th percentile, of which no value is made up between two."""
    middle, high = np.percentile(np.asarray(values, float), (50, 95), method="higher")
    return float(middle), float(high)


def _ends_of_earlier_shards(task: TimedTask, tasks: Sequence[TimedTask]) -> list[datetime]:
    return [
        each.end_date
        for each in tasks
        if each.task_id == task.task_id
        and each.hostname == task.hostname
        and each.end_date is not None
        and task.start_date is not None
        and each.end_date <= task.start_date
        and each.map_index != task.map_index
    ]


def work_seconds(tasks: Sequence[TimedTask], task_id: str) -> list[float]:
    """How long each shard of a task took, its process included."""
    return [
        (each.end_date - each.start_date).total_seconds()
        for each in tasks
        if each.task_id == task_id and each.start_date and each.end_date
    ]


def wall_seconds(tasks: Sequence[TimedTask], task_id: str, after: str) -> float:
    """From the end of the task `after` to the end of the last shard of `task_id`."""
    ready = max(each.end_date for each in tasks if each.task_id == after and each.end_date)
    last = max(each.end_date for each in tasks if each.task_id == task_id and each.end_date)
    return (last - ready).total_seconds()


def as_facts(found: Sequence[Delay]) -> list[dict[str, Any]]:
    """For the JSON file."""
    return [each.model_dump() for each in found]
