"""Settles what MLflow still lacks: the run at hand first, then those that it missed before."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ml_tasks.config import Config
from ml_tasks.records import Decision
from ml_tasks.run_paths import RECORD, RunPaths
from ml_tasks.tracking.notes import clear_pending, keep_pending, pending_runs
from ml_tasks.tracking.outcome import Outcome
from ml_tasks.tracking.process import register_apart


def settle(config: Config, run_ids: Sequence[str], seconds: float | None) -> Outcome:
    """Registers these runs and, as far as `seconds` reach, all that are pending.

    Each run that MLflow has taken is pending no more; the others keep the newest reason.
    """
    runs = config.paths.runs
    waiting = [pending.run_id for pending in pending_runs(runs)]
    order = list(dict.fromkeys([*run_ids, *waiting]))
    outcome = register_apart(config, order, seconds)
    for run_id in outcome.done:
        clear_pending(RunPaths(runs, run_id))
    for run_id in order:
        if run_id not in outcome.done:
            keep_pending(RunPaths(runs, run_id), outcome.reason(run_id))
    return outcome


def judged_runs(config: Config) -> list[str]:
    """Every run that a gate has judged, the oldest first: they make a lost database anew."""
    found = config.paths.runs.glob(f"*/{Decision.stage}/{RECORD}")
    records = sorted(found, key=lambda path: path.stat().st_mtime)
    return [str(json.loads(path.read_bytes())["run_id"]) for path in records]
