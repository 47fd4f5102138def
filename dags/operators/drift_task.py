"""The drift DAG's task bodies: the form in, the stage, the event that asks for a retraining out."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from ml_tasks import sequences
from ml_tasks.config import Config, load_config
from ml_tasks.config_release import registry_of_this_place
from ml_tasks.errors import MammoError
from ml_tasks.monitoring.suggestion import Action
from ml_tasks.monitoring.verdict import SUMMARY, read_report
from ml_tasks.watch_drift import suggest as suggest_stage
from operators.assets import RETRAINING_WANTED
from operators.stage_task import DEFAULT_CONFIG, as_task_error

log = logging.getLogger(__name__)

SETTINGS = {"retrain": "drift.retrain", "window_days": "drift.window_days"}
_LATEST = 100  # events that are looked at; they come at most once a day


def compare() -> str:
    """Compares the days before this run; gives the report's day, which names its folder."""
    run = get_current_context()["dag_run"]
    try:
        # Not the present time: a re-run, days later too, looks at the same window.
        report = sequences.watch_drift(_config_file(), _settings(), run.run_after, run.run_id)
    except MammoError as error:
        raise as_task_error(error) from None
    return report.day


def suggest(day: str) -> bool:
    """Notes what follows from the report; whether a retraining is to start."""
    try:
        return suggest_stage(_config(), day).action is Action.START
    except MammoError as error:
        raise as_task_error(error) from None


def ask_for_retraining(day: str) -> dict[str, Any]:
    """Gives the event its reason; what Airflow has recorded for this evidence is not asked again.

    Raises:
        AirflowSkipException: the event was emitted before; a skipped task emits none.
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
    context["outlet_events"][RETRAINING_WANTED].extra = extra
    log.info("a retraining is asked for (%s): %s", RETRAINING_WANTED.name, extra["reason"])
    return extra


def _config_file() -> Path:
    return Path(os.environ.get("MAMMO_CONFIG", DEFAULT_CONFIG))


def _config() -> Config:
    return load_config(_config_file(), _settings())


def _settings() -> dict[str, Any]:
    """What this place and the form set; an empty field sets nothing."""
    params = get_current_context()["params"]
    chosen = {setting: params.get(field) for field, setting in SETTINGS.items()}
    form = {key: value for key, value in chosen.items() if value is not None}
    return registry_of_this_place(os.environ) | form
