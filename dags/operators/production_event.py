"""The event of a move of `production`: the deployment hears of it, and of what it moved to."""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context

from operators.assets import PRODUCTION


def announced(moved: dict[str, Any]) -> dict[str, Any]:
    """Gives the event of the task its version and digest; gives back what it was handed.

    Airflow emits the event once the task has succeeded; a skipped or failed one emits none.
    """
    extra = {"version": moved["version"], "digest": moved["digest"]}
    get_current_context()["outlet_events"][PRODUCTION].extra = extra
    return moved
