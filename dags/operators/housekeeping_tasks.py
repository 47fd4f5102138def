"""One kind of housekeeping as the body of a task: the form's wish in, figures out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.configuration import conf

from ml_tasks import housekeeping
from ml_tasks.config import Config
from ml_tasks.release.audit import PIPELINE
from operators.operation_task import run_operation
from operators.task_context import who_started


def tidy(kind: str) -> dict[str, Any]:
    """Looks after `runs`, `images` or `logs`; gives the figures. Raises as `run_operation`."""
    context = get_current_context()
    wish = context["params"].get("remove")
    who = who_started(context) or PIPELINE

    def work(config: Config) -> housekeeping.Counts:
        remove = config.housekeeping.remove if wish is None else bool(wish)
        if kind == "runs":
            found = housekeeping.tidy_runs(config, remove, who)
        elif kind == "images":
            found = housekeeping.tidy_images(config, remove, who)
        else:
            logs = Path(conf.get("logging", "base_log_folder"))
            found = housekeeping.tidy_logs(config, remove, logs, who)
        return found.counts()

    return run_operation(work)
