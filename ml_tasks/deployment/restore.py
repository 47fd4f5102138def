"""`make restore`: a stack as it was when the backup was made, into a place that holds none.

Nothing is touched before every byte of the archive was found to be as listed. From the first change
on a mark stands beside .env, until all is there: killed in between, a restore is run again and
begins anew, and `make up` refuses meanwhile.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ml_tasks.deployment import databases, kept_volumes, restored
from ml_tasks.deployment import unfinished_restore as unfinished
from ml_tasks.deployment.archive import BACKUP, Archive, open_archive
from ml_tasks.deployment.backup import (
    FOLDERS,
    LOGS_PART,
    MLFLOW_PART,
    REGISTRY_PART,
    RELEASES,
    RELEASES_PART,
    RUNS,
    SETTINGS_PART,
    SHARED_PART,
    airflow_version,
    back_up,
    database_part,
)
from ml_tasks.deployment.compose import Compose
from ml_tasks.deployment.folder_stream import unpack
from ml_tasks.deployment.needed_images import ensure_images, images_of
from ml_tasks.deployment.profiles import profiles
from ml_tasks.deployment.say import Say
from ml_tasks.deployment.settings_file import (
    NAME,
    SECRETS,
    change_settings,
    ensure_settings,
    parse_settings,
    settings_so_far,
    usual_place,
)
from ml_tasks.deployment.shared_volume import CONFIG, STATISTICS, ensure_shared_volume
from ml_tasks.deployment.stack import down, stack, up
from ml_tasks.deployment.worker_host import refuse_worker_host
from ml_tasks.errors import ArchiveRefused, StackError
from ml_tasks.storage import put_in_place, storage_errors

# What a stack is told from another by.
_PLACE = ("COMPOSE_PROJECT_NAME", "MAMMO_SHARED")
# Found anew on each machine.
_FOUND = ("MAMMO_UID", "DOCKER_GID")
_VOLUMES = (
    kept_volumes.POSTGRES, kept_volumes.REDIS, kept_volumes.REGISTRY, kept_volumes.MLFLOW,
)  # fmt: skip
# The services whose volumes are filled: worker holds the logs.
_FILLED = ("postgres", "registry", "mlflow", "worker")
_WORK = ".restoring"  # on the shared volume
# Airflow would wait for what it had handed to the Redis of then until it queues it anew
# (MAMMO_QUEUE_TIMEOUT); without the number that it has there, it does so at once.
_QUEUE_AGAIN = "UPDATE task_instance SET external_executor_id = NULL WHERE state = 'queued'"
# Airflow asks no DAG whether it is paused before it tells people that a run is late, or that a task
# that ran then has no heartbeat. Airflow before 3.2 marks no deadline.
_PAUSE = """
UPDATE dag SET is_paused = true;
UPDATE task_instance SET state = NULL WHERE state IN ('running', 'restarting');
DO $$ BEGIN
  IF EXISTS (SELECT FROM information_schema.columns
             WHERE table_name = 'deadline' AND column_name = 'missed')
  THEN UPDATE deadline SET missed = true; END IF;
END $$"""


def restore(
    project: Path, source: Path, say: Say, replace: bool = False, paused: bool = False
) -> None:
    """Puts everything back, starts the stack and says what was found to be right.

    `replace`: where a stack is, it is backed up beside `source` first, and then removed. `paused`:
    no DAG goes on, and none starts by itself, as for a trial beside the stack that is meant; the
    service alone follows `production`.

    Raises:
        ArchiveRefused: the archive is damaged, foreign, or of a newer Airflow; nothing was touched.
        StackError: there is a stack already; or something cannot be put back.
    """
    begin = time.monotonic()
    refuse_worker_host(settings_so_far(project))
    archive = open_archive(source, BACKUP)
    _refuse_newer(archive, project)
    say(f"{source} is whole: made at {archive.about['made_at']}, identity {archive.identity}")
    settings = _settings(project, archive)
    _make_room(project, settings, source, say, replace)
    unfinished.mark(project, source)
    change_settings(project, settings)
    settings = ensure_settings(project)
    compose = Compose(project, settings, profiles(settings))
    ensure_images(project, images_of(compose.profiles), say)
    _empty(compose, say)
    _files(compose, archive, say)
    _volumes(compose, archive, say)
    _databases(compose, archive, paused, say)
    unfinished.unmark(project)
    up(project, say)
    restored.check(stack(project), archive.about.get("production"), say)
    say(f"restored in {time.monotonic() - begin:.0f} s")


def _refuse_newer(archive: Archive, project: Path) -> None:
    theirs, ours = str(archive.about.get("airflow", "")), airflow_version(project)
    if theirs and ours and _numbers(theirs) > _numbers(ours):
        raise ArchiveRefused(
            f"{archive.path} is of Airflow {theirs}, this checkout runs {ours}, which cannot read "
            "a newer database; check out the revision of then, or a newer one"
        )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _make_room(
    project: Path, settings: Mapping[str, str], source: Path, say: Say, replace: bool
) -> None:
    """Refuses to restore over a stack, or backs it up first: that of `settings`, whose volumes and
    folders this restore would fill, whether or not a file .env knows of it.
    """
    if unfinished.marked(project):
        return
    place = f"{settings['COMPOSE_PROJECT_NAME']} in {settings['MAMMO_SHARED']}"
    found = _what_is_here(Compose(project, settings))
    if not found:
        return
    own = settings_so_far(project)
    if SECRETS.keys() <= own.keys():  # a file of its own, which an archive keeps without the place
        own = {**usual_place(project), **own}
    if any(own.get(name) != settings[name] for name in _PLACE):
        raise StackError(
            f"here is a stack already, {place} ({', '.join(found)}), and {project / NAME} does not "
            "know it, so that it cannot be backed up first. Put its own .env there; or restore "
            "beside it: write COMPOSE_PROJECT_NAME, MAMMO_SHARED and ports of their own into "
            ".env first (docs/backup.md)"
        )
    if not replace:
        raise StackError(
            f"here is a stack already, {place} ({', '.join(found)}); to put the backup in its "
            "place, after a backup of what is here: make restore FROM=... ARGS=--replace"
        )
    say("first, what is here is backed up")
    ensure_settings(project)  # what a file .env out of an archive lacks
    ensure_images(project, images_of(profiles(settings)), say)
    back_up(project, source.absolute().parent, say, everything=True)


def _what_is_here(compose: Compose) -> list[str]:
    releases = Path(compose.settings["MAMMO_SHARED"]) / RELEASES
    found = [f"the volume {name}" for name in _VOLUMES if kept_volumes.there(compose, name)]
    kept = releases.is_dir() and any(not each.name.startswith(".") for each in releases.iterdir())
    return [*found, *([f"releases in {releases}"] if kept else [])]


def _settings(project: Path, archive: Archive) -> dict[str, str]:
    """The secrets of then; of all else (place, ports, user), what is set on this machine first."""
    place = f"{SETTINGS_PART} in {archive.path}"
    then = parse_settings(b"".join(archive.chunks(SETTINGS_PART)).decode(), place)
    own = settings_so_far(project)
    kept = {name: value for name, value in own.items() if name not in SECRETS}
    taken = {name: value for name, value in then.items() if name not in _FOUND}
    return {**usual_place(project), **taken, **kept}


def _empty(compose: Compose, say: Say) -> None:
    """Ends what runs and removes the volumes that are filled anew; makes them, empty."""
    down(compose.project, say)
    kept_volumes.remove(compose, _VOLUMES)
    # One by one and without what they wait for: docker-compose 1.29 would wait for ever for a
    # dependency that is to end, since nothing is started.
    for service in _FILLED:
        compose.output("up", "--no-start", "--no-deps", service)


def _files(compose: Compose, archive: Archive, say: Say) -> None:
    """The folders of the shared volume: written beside their places, then renamed."""
    shared, uid = Path(compose.settings["MAMMO_SHARED"]), int(compose.settings["MAMMO_UID"])
    work = shared / _WORK
    owner = _owner(archive, uid)
    with storage_errors(shared):
        shared.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        for part in (RELEASES_PART, SHARED_PART):
            unpack(archive.chunks(part), work, owner)
        # What the backup holds none of is as empty here as it was there.
        for name in (RELEASES, RUNS, *FOLDERS):
            if name != CONFIG:
                (work / name).mkdir(parents=True, exist_ok=True)
        for file in (work / STATISTICS).glob("*.jsonl") if owner is None else ():
            file.chmod(0o666)  # the service, another user, goes on writing it: as its folder
        for path in sorted(work.iterdir()):
            if path.is_dir():
                put_in_place(path, shared / path.name)
            else:
                path.replace(shared / path.name)
        work.rmdir()
    ensure_shared_volume(compose.settings, compose.project)
    say(f"the shared volume is as it was: {shared}")


def _owner(archive: Archive, uid: int) -> Callable[[int], int] | None:
    """The workers of then are those of now; the service's user is the same everywhere."""
    if os.geteuid() != 0:
        return None
    text = b"".join(archive.chunks(SETTINGS_PART)).decode()
    then = int(parse_settings(text, str(archive.path)).get("MAMMO_UID", uid))
    return lambda found: uid if found in (then, 0) else found


def _volumes(compose: Compose, archive: Archive, say: Say) -> None:
    uid = compose.settings["MAMMO_UID"]
    kept_volumes.fill(compose, kept_volumes.REGISTRY, archive.chunks(REGISTRY_PART))
    kept_volumes.fill(compose, kept_volumes.MLFLOW, archive.chunks(MLFLOW_PART), f"{uid}:0")
    if LOGS_PART in archive.parts:
        kept_volumes.fill(compose, kept_volumes.LOGS, archive.chunks(LOGS_PART), f"{uid}:0")
    say("registry and MLflow's files are as they were")


def _databases(compose: Compose, archive: Archive, paused: bool, say: Say) -> None:
    with databases.database_up(compose):
        for name in archive.about["databases"]:
            databases.load(compose, name, archive.chunks(database_part(name)))
            say(f"the database {name} is as it was")
        if "airflow" in archive.about["databases"]:
            databases.change(compose, "airflow", _QUEUE_AGAIN, "queueing again what was queued")
            if paused:
                databases.change(compose, "airflow", _PAUSE, "pausing the DAGs")
