"""The folders of the shared volume, writable for who writes there, and the team's config.yaml."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
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


def ensure_shared_volume(settings: Mapping[str, str], project: Path) -> None:
    """Makes what is missing there, and the logs' folder where `settings` name one; the stack's user
    may write, the service its statistics.

    Raises:
        StackError: the volume cannot be written, or a folder belongs to somebody else.
    """
    shared, uid = Path(settings["MAMMO_SHARED"]), int(settings["MAMMO_UID"])
    try:
        for name in (*FOLDERS, STATISTICS):
            (shared / name).mkdir(parents=True, exist_ok=True)
        config = shared / CONFIG
        if not config.exists():
            new = config.with_name(f".{CONFIG}.new")
            shutil.copyfile(project / CONFIG, new)
            new.replace(config)
        if logs := folder_of_logs(settings, project):
            logs.mkdir(parents=True, exist_ok=True)
            _give_to(uid, [logs])
        _give(shared, uid)
    except OSError as error:
        raise StackError(
            f"the shared volume {shared} cannot be prepared: {error.strerror} "
            f"({error.filename}); let its owner do so, or name another as MAMMO_SHARED (MAMMO_LOGS "
            "for the logs) in .env"
        ) from error


def folder_of_logs(settings: Mapping[str, str], project: Path) -> Path | None:
    """Where the task logs lie if MAMMO_LOGS is a path as compose reads one; None for a volume of
    the engine's. A folder that is missing the engine would make for root alone.
    """
    named = settings.get("MAMMO_LOGS", "")
    return project / Path(named).expanduser() if named.startswith(("/", ".", "~")) else None


def _give(shared: Path, uid: int) -> None:
    """Only what was made here, at the top: data that a team copied there stay as they are."""
    statistics = shared / STATISTICS
    if os.geteuid() != 0:
        statistics.chmod(0o777)  # the service is another user, and its group is not ours to give
        return
    _give_to(uid, [shared, shared / "data", shared / CONFIG, *(shared / name for name in FOLDERS)])
    # The service adds to it as the group, housekeeping removes what is old as the owner.
    os.chown(statistics, uid, SERVICE_UID)
    statistics.chmod(0o2770)


def _give_to(uid: int, paths: Iterable[Path]) -> None:
    """What root has made; what belongs to somebody stays so."""
    if os.geteuid() != 0:
        return
    for path in paths:
        if path.stat().st_uid == 0:
            os.chown(path, uid, -1)
