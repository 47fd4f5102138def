"""The commands of everyday operation: `mammo watch_drift`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from ml_tasks import sequences
from ml_tasks.config import load_config, parse_settings
from ml_tasks.config_release import registry_of_this_place

Command = Callable[[argparse.Namespace], int]


def add_operation_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Adds them by `add(name, function, help)`, which makes the parser of one command."""
    drift = add("watch_drift", _watch_drift, "the service's images against those of the training")
    drift.add_argument("--days", type=float, metavar="N", help="drift.window_days for once")
    drift.add_argument("--suggest", action="store_true", help="note in the audit log what follows")


def _watch_drift(chosen: argparse.Namespace) -> int:
    from ml_tasks.watch_drift import suggest

    settings = registry_of_this_place(os.environ) | parse_settings(chosen.set)
    # Only the DAG can start a retraining: by an event of Airflow.
    settings["drift.retrain"] = False
    if chosen.days is not None:
        settings["drift.window_days"] = chosen.days
    run_id = sequences.new_run_id("drift")
    report = sequences.watch_drift(chosen.config, settings, datetime.now(UTC), run_id)
    config = load_config(chosen.config, settings)
    if chosen.suggest:
        suggest(config, report.day)
    sys.stdout.write(f"{report.summary()}\nreport: {config.paths.drift / report.day}\n")
    return 0
