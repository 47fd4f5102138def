"""`make backup`: everything that cannot be made again, in one archive, while the stack works.

The order matters. The databases come first and the files after them: what a run has written since
is there as well, and a run that the database believes to be under way is gone through again. While
releases and registry are copied, the lock of `production` is held, so that ledger, audit log and
the tag agree.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ml_tasks.deployment import databases, kept_places, kept_volumes
from ml_tasks.deployment.archive import BACKUP, ArchiveWriter, new_archive
from ml_tasks.deployment.compose import Compose
from ml_tasks.deployment.folder_stream import packed
from ml_tasks.deployment.say import Say
from ml_tasks.deployment.settings_file import NAME as SETTINGS
from ml_tasks.deployment.settings_file import settings_so_far
from ml_tasks.deployment.shared_volume import CONFIG, folder_of_logs
from ml_tasks.deployment.stack import stack
from ml_tasks.deployment.streams import output_of
from ml_tasks.deployment.unfinished_restore import refuse_unfinished
from ml_tasks.deployment.worker_host import refuse_worker_host
from ml_tasks.errors import StackError

# Folders of the shared volume, whole. What is not here can be made again (cache), or is the team's
# own (data/raw), whatever its size.
FOLDERS = ("splits", "snapshots", "statistics", "drift", "scoring", "model", CONFIG)
RELEASES, RUNS = "releases", "runs"
SHARED_PART, RELEASES_PART = "shared.tar", "releases.tar"
REGISTRY_PART, MLFLOW_PART, LOGS_PART = "registry.tar", "mlflow.tar", "logs.tar"
SETTINGS_PART = "settings"
_AUDIT = "audit.jsonl"
_LEDGER = "ledger.jsonl"
_LOCK = ".production.lock"  # as release/moving.py names it
_MADE_IMAGE = "build_image/record.json"  # what a run that became a release has
_AIRFLOW = re.compile(r"^apache-airflow(?:\[[a-z0-9,-]*\])?==([0-9.]+)", re.M)


@dataclass(frozen=True)
class Kept:
    """A backup that was made."""

    path: Path
    identity: str
    size: int
    seconds: float


def database_part(name: str) -> str:
    """The name of a database's part."""
    return f"database-{name}.dump"


def back_up(project: Path, folder: Path, say: Say, everything: bool = False) -> Kept:
    """Writes `folder`/mammography-TIME.tar, for its owner alone: it holds every secret.

    `everything`: with the folders of all runs and Airflow's task logs, too.

    Raises:
        StackError: something cannot be read, or lies where no backup looks; names it. Or a restore
            is not through: half a stack is no backup.
        StorageError: the archive cannot be written. Nothing is left behind in either case.
    """
    begin = time.monotonic()
    refuse_unfinished(project)
    refuse_worker_host(settings_so_far(project))
    compose = stack(project)
    refuse_misplaced(compose)
    path = folder / f"{compose.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
    with new_archive(path, BACKUP) as archive:
        _write(archive, compose, everything, say)
    identity = archive.identity
    size, seconds = path.stat().st_size, time.monotonic() - begin
    say(f"{path}: {size / 1e6:.0f} MB in {seconds:.0f} s, identity {identity}")
    say("it holds every secret of the stack: keep it where only those may read who may see them")
    return Kept(path, identity, size, seconds)


def _write(archive: ArchiveWriter, compose: Compose, everything: bool, say: Say) -> None:
    shared = Path(compose.settings["MAMMO_SHARED"])

    def add(name: str, chunks: Iterable[bytes]) -> None:
        begin = time.monotonic()
        part = archive.add(name, chunks)
        say(f"  {name:24} {part.size / 1e6:8.1f} MB {time.monotonic() - begin:6.1f} s")

    archive.about |= {"stack": compose.name, "airflow": airflow_version(compose.project)}
    with databases.database_up(compose):
        found = databases.present(compose)
        for name in found:
            add(database_part(name), databases.dump(compose, name))
    add(MLFLOW_PART, kept_volumes.folder_stream(compose, kept_volumes.MLFLOW))
    with production_lock(shared / RELEASES, say):
        archive.about["production"] = last_move(shared / RELEASES)
        add(RELEASES_PART, packed(shared, release_names(shared / RELEASES)))
        add(REGISTRY_PART, kept_volumes.registry_stream(compose, say))
    runs = [RUNS] if everything else runs_of_releases(shared)
    add(SHARED_PART, packed(shared, [*FOLDERS, *runs]))
    own_logs = folder_of_logs(compose.settings, compose.project)
    if everything and own_logs is not None:
        say(f"  not in it: Airflow's task logs in {own_logs} (MAMMO_LOGS); copy that folder")
    elif everything and kept_volumes.there(compose, kept_volumes.LOGS):
        add(LOGS_PART, kept_volumes.folder_stream(compose, kept_volumes.LOGS))
    archive.about |= {"databases": found, "runs": "all" if everything else "of releases"}
    add(SETTINGS_PART, [settings_to_keep(compose)])


def refuse_misplaced(compose: Compose) -> None:
    """Refuses a backup that would lack what config.yaml places elsewhere.

    Raises:
        StackError: so it is, or the configuration cannot be read.
    """
    shared = Path(compose.settings["MAMMO_SHARED"])
    names = [name for name in (RELEASES, RUNS, *FOLDERS) if name != CONFIG]
    # As the workers: on NFS, which trusts no root of another machine, root may not look in.
    user = f"{compose.settings['MAMMO_UID']}:0"
    run = kept_volumes.container(f"{shared}:/mammo:ro", kept_volumes.PYTHON, "python3", user)
    script = Path(kept_places.__file__).read_bytes()
    words = output_of([*run, "-", f"/mammo/{CONFIG}", *names], f"reading {shared / CONFIG}", script)
    if lines := b"".join(words).decode().splitlines():
        raise StackError(
            f"{shared / CONFIG} places files where the backup does not look, so that a restore "
            f"would lack them: {'; '.join(lines)} (docs/backup.md)"
        )


def release_names(releases: Path) -> list[str]:
    """What is copied of the releases, in this order: the audit log last, so that it knows at least
    what the records beside it know.
    """
    names = sorted(entry.name for entry in releases.iterdir() if not entry.name.startswith("."))
    last = [name for name in names if name == _AUDIT]
    return [f"{RELEASES}/{name}" for name in [*(n for n in names if n != _AUDIT), *last]]


def runs_of_releases(shared: Path) -> list[str]:
    """The folders of the runs that became an image: what the pages of a release show."""
    made = sorted((shared / RUNS).glob(f"*/{_MADE_IMAGE}"))
    return [path.parents[1].relative_to(shared).as_posix() for path in made]


def last_move(releases: Path) -> dict[str, str] | None:
    """Version and digest that the ledger says are in production; None where nothing ever was.

    Raises:
        StackError: the ledger's last line cannot be read.
    """
    path = releases / _LEDGER
    if not path.exists():
        return None
    whole = path.read_bytes().rpartition(b"\n")[0]  # a torn last line does not count
    try:
        line = json.loads(whole.rpartition(b"\n")[2])
        return {"version": str(line["version"]), "digest": str(line["digest"])}
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(f"{path} ends in what is no move; `mammo audit` says more") from error


@contextmanager
def production_lock(releases: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Held while nothing may move `production` or delete from its registry; the workers' own lock.

    Raises:
        StackError: the lock cannot be taken by this user.
    """
    path = releases / _LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StackError(
            f"{path}: {error.strerror}; run this as who started the stack, or as root"
        ) from error
    try:
        if os.geteuid() == 0:  # made by root, it would keep the workers out
            os.chown(path, releases.stat().st_uid, -1)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting until the release that is on its way has been shipped")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def settings_to_keep(compose: Compose) -> bytes:
    """The file .env, but for the shared volume's place if it is the usual one: that of the
    checkout, wherever the checkout will lie then.
    """
    path = compose.project / SETTINGS
    usual = f"MAMMO_SHARED={(compose.project / 'shared').absolute()}"
    lines = path.read_text().splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() != usual).encode()


def airflow_version(project: Path) -> str:
    """The release of Airflow that the checkout runs; empty where it has no locks."""
    lock = project / "requirements" / "airflow.txt"
    found = _AIRFLOW.search(lock.read_text()) if lock.exists() else None
    return found[1] if found else ""
