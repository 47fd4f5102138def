"""The commands of everyday operation: `mammo housekeeping`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ml_tasks.config import load_config, parse_settings
from ml_tasks.config_release import registry_of_this_place

Command = Callable[[argparse.Namespace], int]


def add_operation_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Adds them by `add(name, function, help)`, which makes the parser of one command."""
    tidy = add("housekeeping", _housekeeping, "old runs, images and logs; removes them with --yes")
    tidy.add_argument("--yes", action="store_true", help="remove what may go")
    tidy.add_argument("--logs", type=Path, metavar="DIR", help="Airflow's logs (base_log_folder)")
    tidy.add_argument("--json", action="store_true", help="for programs")


def _housekeeping(chosen: argparse.Namespace) -> int:
    from ml_tasks.housekeeping import tidy_images, tidy_logs, tidy_runs
    from ml_tasks.release.audit import person_here

    here = registry_of_this_place(os.environ)
    config, who = load_config(chosen.config, here | parse_settings(chosen.set)), person_here()
    yes = chosen.yes or config.housekeeping.remove
    found = (
        tidy_runs(config, yes, who),
        tidy_images(config, yes),
        tidy_logs(config, yes, chosen.logs, who),
    )
    for each in found:
        line = each.model_dump_json() if chosen.json else each.summary()
        sys.stdout.write(f"{line}\n")
    return 0
