"""Work beside the runs as the body of a task: today's configuration in, a record out."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ml_tasks.config import Config, load_config
from ml_tasks.config_release import registry_of_this_place
from ml_tasks.records import Record
from operators.stage_task import config_file, readable_errors


def run_operation(work: Callable[[Config], Record]) -> dict[str, Any]:
    """Does `work` with config.yaml as it stands now; gives its record.

    Raises:
        AirflowSkipException: there is nothing to do.
        AirflowFailException: what it refuses would be refused again: not retried.
        AirflowException: what may pass by itself: retried.
    """
    with readable_errors():
        config = load_config(config_file(), registry_of_this_place(os.environ))
        return work(config).model_dump(mode="json")
