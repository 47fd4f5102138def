"""The commands of everyday operation."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from ml_tasks.config import load_config, parse_settings

Command = Callable[[argparse.Namespace], int]


def add_operation_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Adds them by `add(name, function, help)`, which makes the parser of one command."""
    new = add("announce", _announce, "lists new data exactly, for a run that uses these alone")
    new.add_argument("--data", type=Path, help="the folder; else paths.raw, if _READY is in it")


def _announce(chosen: argparse.Namespace) -> int:
    from ml_tasks.announce import announce

    made = announce(load_config(chosen.config, parse_settings(chosen.set)), chosen.data)
    sys.stdout.write(
        f"{json.dumps(made.extra(), indent=2)}\n\nWith Airflow: the extra of an event of the asset "
        "mammography_new_data. Without:\n"
        f"mammo run --set paths.raw='{made.data_dir}' --set data.snapshot='{made.snapshot}'\n"
    )
    return 0
