"""Logs and reports that are old enough to go: Airflow's, the service's statistics, drift's."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.release.removal import Looked, last_touched, size_of

# As Airflow names them: dag_id=…/run_id=…/task_id=…/[map_index=…/]attempt=1.log, with what a
# trigger adds, and dag_processor/2026-01-02/….log. Nothing else below its folder is touched.
_LOGS = re.compile(
    r"dag_id=[^/]+/run_id=[^/]+/task_id=[^/]+/(map_index=\d+/)?attempt=\d+\.log[\w.-]*"
    r"|(scheduler|dag_processor)/\d{4}-\d\d-\d\d/(.+/)?[^/]+\.log",
    re.DOTALL,
)
_ROTATED = re.compile(r"[^/]+\.jsonl\.\d+", re.DOTALL)  # the service is done with it
_DAY = 24 * 3600.0


def old_logs(config: Config, airflow_logs: Path | None) -> list[Looked]:
    """What was written last longer ago than is kept; statistics as long as drift looks at them."""
    keep = config.housekeeping.keep_days
    statistics = _matching(config.paths.statistics, _ROTATED)
    return [
        *_old(_matching(airflow_logs, _LOGS), keep),
        *_old(statistics, max(keep, config.drift.window_days)),
        # A suggestion that was made lately must be known for as long as no other is made.
        *_old(_reports(config.paths.drift), max(keep, config.drift.cooldown_days)),
    ]


def remove_empty(folder: Path, top: Path | None) -> None:
    """Removes the folders that a removed log leaves empty, up to `top`, which stays."""
    while top is not None and top in folder.parents:
        try:
            folder.rmdir()
        except OSError:  # something is still in it
            return
        folder = folder.parent


def _matching(folder: Path | None, form: re.Pattern[str]) -> list[Path]:
    """Files below a folder whose path in it has this form; links are left, and not followed."""
    if folder is None:
        return []
    paths = [Path(root) / name for root, _, names in os.walk(folder) for name in names]
    return sorted(
        path
        for path in paths
        if form.fullmatch(path.relative_to(folder).as_posix()) and not path.is_symlink()
    )


def _reports(drift: Path) -> list[Path]:
    found = drift.glob("*/verdict.json")
    return sorted(path.parent for path in found if not path.parent.is_symlink())


def _old(paths: list[Path], days: float) -> list[Looked]:
    limit = time.time() - days * _DAY
    # What has gone meanwhile was never touched, and removing it again does no harm.
    return [Looked(path=p, bytes=size_of(p)) for p in paths if last_touched(p) < limit]
