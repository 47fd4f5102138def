"""Why a run was started, in one line: the first thing that its log says."""

from __future__ import annotations

from typing import Any

from operators.task_context import who_started


def why_started(context: Any) -> str:
    """By whom or what, and the reason that the newest event gives."""
    events = [e for each in (context.get("triggering_asset_events") or {}).values() for e in each]
    events.sort(key=lambda event: event.timestamp)
    reasons = [str(event.extra["reason"]) for event in events if (event.extra or {}).get("reason")]
    if reasons:
        return f"started because {reasons[-1]}"
    if events:
        return "started because new data were announced"
    person = who_started(context)
    kind = str(getattr(context.get("dag_run"), "run_type", "") or "by hand")
    return f"started by {person}" if person else f"started: {kind}"
