"""What a task finds where it runs: the configuration, the form, who started it, who listens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_tasks.config import Config

DEFAULT_CONFIG = Path(__file__).resolve().parents[2] / "config.yaml"
RETRAINING = "mammography_retraining"


def config_file() -> Path:
    """The configuration that the tasks of this Airflow go by."""
    return Path(os.environ.get("MAMMO_CONFIG", DEFAULT_CONFIG))


def config_now(settings: Mapping[str, Any] | None = None) -> Config:
    """config.yaml as it stands now, with this place's registry and `settings`.

    Raises:
        ConfigError: see `load_config`.
    """
    from ml_tasks.config import load_config
    from ml_tasks.config_release import registry_of_this_place

    return load_config(config_file(), registry_of_this_place(os.environ) | dict(settings or {}))


def form_settings(context: Any, fields: Mapping[str, str]) -> dict[str, Any]:
    """What the form sets, by the settings that its `fields` stand for; empty ones set nothing."""
    chosen = {setting: context["params"].get(field) for field, setting in fields.items()}
    return {setting: value for setting, value in chosen.items() if value not in (None, "")}


def who_started(context: Any) -> str:
    """Who triggered the run on the page; empty where the schedule or an event did."""
    return str(getattr(context.get("dag_run"), "triggering_user_name", None) or "")


def retraining_is_paused(context: Any) -> bool:
    """Whether an event for the retraining would be lost: Airflow keeps none for a paused DAG."""
    return bool(context["ti"].get_dag(RETRAINING).is_paused)
