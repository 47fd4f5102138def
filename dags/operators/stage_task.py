"""One stage as the body of a task: the form's settings in, a record out, errors made readable."""

from __future__ import annotations

import logging
import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from ml_tasks import sequences
from ml_tasks.config_release import registry_of_this_place
from ml_tasks.errors import (
    DataUnsettled,
    EngineUnavailable,
    ImagesUnreachable,
    MammoError,
    PushError,
    PushRefused,
    RegistryUnavailable,
    RunBusy,
    StageSkipped,
    StorageError,
    TrainingStopped,
    WorkersLost,
)
from ml_tasks.records import STAGES
from ml_tasks.release.audit import acting
from operators.form import SETTINGS
from operators.started import why_started
from operators.task_context import config_file, form_settings, who_started

log = logging.getLogger(__name__)

# Errors that may pass by themselves. A training that was stopped goes on in its next try; where
# Airflow stopped it (clear, mark failed), the state is what was asked for, whatever is raised here.
PASSING = (
    DataUnsettled,
    EngineUnavailable,
    ImagesUnreachable,
    PushError,
    RegistryUnavailable,
    RunBusy,
    StorageError,
    TrainingStopped,
    WorkersLost,
)


def run_stage(stage: str, shard: int | None = None) -> dict[str, Any]:
    """Runs a stage of the current DAG run, or one `shard` of it; gives its record.

    Raises:
        AirflowSkipException: the stage has nothing to do here.
        AirflowFailException: what it refuses would be refused again: not retried.
        AirflowException: what may pass by itself: retried.
    """
    context = get_current_context()
    config = config_file()
    with readable_errors(), acting(who_started(context)):
        if stage == STAGES[0]:
            log.info(why_started(context))
            sequences.begin_run(
                context["run_id"],
                config,
                registry_of_this_place(os.environ) | chosen_settings(context),
            )
        force = bool(context["params"].get("force"))
        record = sequences.run_stage(stage, context["run_id"], config, shard=shard, force=force)
        return record.model_dump(mode="json")


def gate_opens() -> bool:
    """Runs the stage gate; whether anything follows it: a PASS, or a person who is to decide."""
    run_stage("gate")
    with readable_errors():
        return sequences.gate_opens(get_current_context()["run_id"], config_file())


@contextmanager
def readable_errors() -> Iterator[None]:
    """Around the work of a task: its errors as Airflow's, with what to do as the log's last lines.

    Raises:
        AirflowSkipException, AirflowFailException, AirflowException: as `run_stage` says.
    """
    try:
        yield
    except StageSkipped as skipped:
        raise AirflowSkipException(str(skipped)) from None
    except MammoError as error:
        raise as_task_error(error) from None


def as_task_error(error: MammoError) -> AirflowException:
    """Says in the log what is wrong; what to raise: retried only where it may pass by itself."""
    for line in str(error).splitlines():  # the page shows an exception far to the right
        for part in textwrap.wrap(line, 110):
            log.error(part)
    passing = isinstance(error, PASSING) and not isinstance(error, PushRefused)
    kind: type[AirflowException] = AirflowException if passing else AirflowFailException
    return kind(f"{type(error).__name__}: {error}")


def chosen_settings(context: Any) -> dict[str, Any]:
    """What the form sets; else the data that the newest new-data event announces."""
    chosen = form_settings(context, SETTINGS)
    if "paths.raw" in chosen:  # an announced snapshot is of the announced folder
        return chosen
    return announced_settings(context) | chosen


def announced_settings(context: Any) -> dict[str, Any]:
    """The folder and snapshot of the newest event; without one, the count that was announced."""
    events = [e for each in (context.get("triggering_asset_events") or {}).values() for e in each]
    told = [event for event in events if (event.extra or {}).get("data_dir")]
    if not told:
        return {}
    told.sort(key=lambda event: event.timestamp)
    newest = told[-1].extra
    folders = [event.extra["data_dir"] for event in told]
    if len(set(folders)) > 1:
        log.warning("of several announced folders only the newest is used: %s", ", ".join(folders))
    elif len(told) > 1:
        log.info("announced %d times meanwhile; the newest announcement counts", len(told))
    settings = {"paths.raw": newest["data_dir"]}
    if newest.get("snapshot"):
        return settings | {"data.snapshot": newest["snapshot"]}
    counted = newest.get("images")
    return settings | ({} if counted is None else {"data.announced_images": counted})
