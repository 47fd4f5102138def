"""Work beside the runs as the body of a task: today's configuration in, a record out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ml_tasks.config import Config
from ml_tasks.records import Record
from operators.stage_task import readable_errors
from operators.task_context import config_now


def run_operation(work: Callable[[Config], Record]) -> dict[str, Any]:
    """Does `work` with config.yaml as it stands now; gives its record.

    Raises:
        AirflowSkipException: there is nothing to do.
        AirflowFailException: what it refuses would be refused again: not retried.
        AirflowException: what may pass by itself: retried.
    """
    with readable_errors():
        return work(config_now()).model_dump(mode="json")
