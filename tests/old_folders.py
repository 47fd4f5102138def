"""Folders of a time long past, for the tests of housekeeping."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ml_tasks.config import Config, save_config
from ml_tasks.config_operation import HousekeepingConfig
from ml_tasks.housekeeping import Tidied
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import write_bytes, write_json
from tests.builders import toy_config

OLD = 400  # days


def settings(root: Path, **house: Any) -> Config:
    kept = HousekeepingConfig(**{"keep_runs": 1, "keep_releases": 1, "keep_days": 30, **house})
    return toy_config(root, housekeeping=kept)


def run_of(config: Config, run_id: str, days: float = OLD) -> RunPaths:
    """A run's folder with a few files, last touched so many days ago."""
    run = RunPaths(config.paths.runs, run_id)
    save_config(config, run.config)
    write_json(run.stage("train") / "record.json", {"run_id": run_id})
    write_bytes(run.stage("train") / "model.h5", b"x" * 1000)
    age(run.root, days)
    return run


def age(path: Path, days: float) -> None:
    """Sets everything in a folder, and the folder, to so many days ago."""
    moment = time.time() - days * 24 * 3600
    for found in [*sorted(path.rglob("*"), reverse=True), path]:
        os.utime(found, (moment, moment), follow_symlinks=False)


def stays(found: Tidied) -> dict[str, str]:
    return {each.path.name: each.stays for each in found.looked}


def folders(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir() if not each.name.startswith("."))
