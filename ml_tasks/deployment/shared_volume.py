"""The folders of the shared volume, writable for who writes there, and the team's config.yaml."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ml_tasks.errors import StackError

# What config.yaml's paths name, below the folder in which it lies.
FOLDERS = (
    "data/raw", "cache", "splits", "runs", "releases", "model", "logs", "snapshots", "drift",
    "scoring", "keras",
)  # fmt: skip
STATISTICS = "statistics"
SERVICE_UID = 10001  # as whom the inference image runs
CONFIG = "config.yaml"


def ensure_shared_volume(shared: Path, project: Path, uid: int) -> None:
    """Makes what is missing there; the stack's user `uid` may write, the service its statistics.

    Raises:
        StackError: the volume cannot be written, or a folder belongs to somebody else.
    """
    try:
        for name in (*FOLDERS, STATISTICS):
            (shared / name).mkdir(parents=True, exist_ok=True)
        config = shared / CONFIG
        if not config.exists():
            new = config.with_name(f".{CONFIG}.new")
            shutil.copyfile(project / CONFIG, new)
            new.replace(config)
        _give(shared, uid)
    except OSError as error:
        raise StackError(
            f"the shared volume {shared} cannot be prepared: {error.strerror} "
            f"({error.filename}); let its owner do so, or name another as MAMMO_SHARED in .env"
        ) from error


def _give(shared: Path, uid: int) -> None:
    """Only what was made here, at the top: data that a team copied there stay as they are."""
    statistics = shared / STATISTICS
    if os.geteuid() != 0:
        statistics.chmod(0o777)  # the service is another user, and its group is not ours to give
        return
    for path in (shared, shared / "data", shared / CONFIG, *(shared / name for name in FOLDERS)):
        if path.stat().st_uid == 0:
            os.chown(path, uid, -1)
    # The service adds to it as the group, housekeeping removes what is old as the owner.
    os.chown(statistics, uid, SERVICE_UID)
    statistics.chmod(0o2770)
