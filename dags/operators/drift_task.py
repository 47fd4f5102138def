"""The drift DAG's task bodies: the form in, the stage, the event that asks for a retraining out."""

from __future__ import annotations

import logging
import os
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from ml_tasks import sequences
from ml_tasks.config import Config
from ml_tasks.config_release import registry_of_this_place
from ml_tasks.errors import ConfigError, MammoError
from ml_tasks.monitoring.suggestion import Action
from ml_tasks.monitoring.verdict import SUMMARY, read_report
from ml_tasks.watch_drift import suggest as suggest_stage
from operators.assets import RETRAINING_WANTED
from operators.notifier import MammoNotifier
from operators.stage_task import as_task_error
from operators.task_context import (
    RETRAINING,
    config_file,
    config_now,
    form_settings,
    retraining_is_paused,
)

log = logging.getLogger(__name__)

SETTINGS = {"retrain": "drift.retrain", "window_days": "drift.window_days"}
_LATEST = 100  # events that are looked at; they come at most once a day


def compare() -> str:
    """Compares the days before this run; gives the report's day, which names its folder."""
    run = get_current_context()["dag_run"]
    try:
        # Not the present time: a re-run, days later too, looks at the same window.
        report = sequences.watch_drift(config_file(), _settings(), run.run_after, run.run_id)
    except MammoError as error:
        raise as_task_error(error) from None
    return report.day


def suggest(day: str) -> bool:
    """Notes what follows from the report; whether a retraining is to start.

    Airflow keeps no event for a paused DAG: then it is only suggested, and nothing is noted that
    would hold up a start once the retraining is switched on.
    """
    context = get_current_context()
    try:
        config = _config()
        unheard = config.drift.retrain and retraining_is_paused(context)
        if unheard:
            only_suggest = config.drift.model_copy(update={"retrain": False})
            config = config.model_copy(update={"drift": only_suggest})
        found = suggest_stage(config, day)
    except MammoError as error:
        raise as_task_error(error) from None
    if unheard and found.action is not Action.NONE:
        log.warning(
            "no retraining is started: the DAG %s is paused and would not hear of it. Switch it "
            "on, then clear this task",
            RETRAINING,
        )
    if found.new:
        MammoNotifier("drift", found.reason).notify(context)
    return found.action is Action.START


def ask_for_retraining(day: str) -> dict[str, Any]:
    """Gives the event its reason; what Airflow has recorded for this evidence is not asked again.

    Raises:
        AirflowSkipException: the event was emitted before; a skipped task emits none.
        AirflowFailException: the retraining is paused, so that the event would be lost.
    """
    context = get_current_context()
    folder = _config().paths.drift / day
    try:
        report = read_report(folder)
    except MammoError as error:
        raise as_task_error(error) from None
    extra = {
        "reason": report.summary(),
        "report": str(folder / SUMMARY),
        "day": report.day,
        "version": report.version,
    }
    emitted = context["inlet_events"][RETRAINING_WANTED].ascending(False).limit(_LATEST)
    for event in emitted:
        if all(event.extra.get(key) == extra[key] for key in ("day", "version")):
            raise AirflowSkipException(
                f"the retraining was asked for at {event.timestamp:%Y-%m-%d %H:%M} UTC for this "
                "release and day; it is asked for once"
            )
    if retraining_is_paused(context):
        raise as_task_error(
            ConfigError(
                f"the DAG {RETRAINING} is paused and would not hear that it is wanted, so nothing "
                "was started; switch it on, then clear this task"
            )
        )
    context["outlet_events"][RETRAINING_WANTED].extra = extra
    log.info("a retraining is asked for (%s): %s", RETRAINING_WANTED.name, extra["reason"])
    return extra


def _config() -> Config:
    return config_now(_form())


def _settings() -> dict[str, Any]:
    return registry_of_this_place(os.environ) | _form()


def _form() -> dict[str, Any]:
    return form_settings(get_current_context(), SETTINGS)
