"""A step of batch scoring as the body of a task: the form's values in, a small result out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import get_current_context

from ml_tasks.batch_scoring import assemble_batch, plan_batch, score_shard
from ml_tasks.config import Config
from ml_tasks.scoring.place import name_from
from operators.stage_task import readable_errors
from operators.task_context import config_now, form_settings

SETTINGS = {"shards": "scoring.shards", "format": "scoring.format"}


def plan() -> list[int]:
    """Plans the batch of this run; gives the numbers of its shards."""
    with readable_errors():
        params = get_current_context()["params"]
        return list(range(plan_batch(_config(), Path(params["folder"]), _name()).shards))


def score(shard: int) -> int:
    """Scores a shard of it; gives how many images this try scored."""
    with readable_errors():
        return score_shard(_config(), _name(), shard)


def assemble() -> dict[str, Any]:
    """Puts the results together; gives the batch's name, its release and the counts."""
    with readable_errors():
        summary = assemble_batch(_config(), _name())
        return {
            "name": summary.plan.name,
            "version": summary.plan.version,
            "images": summary.plan.images,
            "scored": summary.scored,
            "errors": summary.errors,
        }


def _name() -> str:
    """As the form says; else made from the run, so that every task finds the same batch."""
    context = get_current_context()
    return context["params"].get("name") or name_from(context["run_id"])


def _config() -> Config:
    return config_now(form_settings(get_current_context(), SETTINGS))
