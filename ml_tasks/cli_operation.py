"""The commands of everyday operation: `mammo doctor`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable

from ml_tasks.config import parse_settings

Command = Callable[[argparse.Namespace], int]


def add_operation_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Adds them by `add(name, function, help)`, which makes the parser of one command."""
    doctor = add("doctor", _doctor, "what must be mended on this machine before a run, and how")
    doctor.add_argument("--json", action="store_true", help="for programs")


def _doctor(chosen: argparse.Namespace) -> int:
    from ml_tasks.doctor.examination import examine, place_here
    from ml_tasks.doctor.findings import State, table

    findings = examine(place_here(chosen.config, parse_settings(chosen.set), os.environ))
    listed = [finding.model_dump(mode="json") for finding in findings]
    sys.stdout.write(f"{json.dumps(listed, indent=2)}\n" if chosen.json else table(findings))
    return int(any(finding.state is State.MEND for finding in findings))
