"""Stage housekeeping: old runs, images and logs go; never what serves, nor what it was made of."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.errors import EngineUnavailable, StorageError
from ml_tasks.records import Record
from ml_tasks.release.audit import PIPELINE, Deed, acting, note
from ml_tasks.release.old_logs import old_logs, remove_empty
from ml_tasks.release.removal import Looked, finish_removals, last_touched, remove
from ml_tasks.storage import locked

log = logging.getLogger(__name__)

_DAY = 24 * 3600.0
NOT_REMOVED = "it could not go: "
_MOST_TOLD = 200  # lines in the log; the rest is counted


class Tidied(Record):
    """What housekeeping found of one kind, and whether it removed what may go."""

    kind: str
    removed: bool
    looked: tuple[Looked, ...] = ()
    finished: int = 0  # that an earlier, killed one had begun to remove

    @property
    def going(self) -> list[Looked]:
        return [each for each in self.looked if not each.stays]

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.going)

    def summary(self) -> str:
        """One line for the log and for people."""
        done = "were removed" if self.removed else "may go (housekeeping.remove is false)"
        size = f" with {self.bytes / 1e6:,.1f} MB" if self.kind != IMAGES else ""
        more = f"; {self.finished} removal(s) that were cut off are finished" * bool(self.finished)
        return (
            f"{self.kind}: {len(self.going)} of {len(self.looked)}{size} {done}, "
            f"{len(self.looked) - len(self.going)} stay{more}"
        )

    def counts(self) -> Counts:
        """Without the names, for Airflow."""
        going = len(self.going)
        return Counts(
            kind=self.kind,
            removed=self.removed,
            going=going,
            staying=len(self.looked) - going,
            bytes=self.bytes,
        )


class Counts(Record):
    """The figures of `Tidied`; `bytes` are what removing frees, or would."""

    kind: str
    removed: bool
    going: int
    staying: int
    bytes: int


RUNS, IMAGES, LOGS = "run folders and snapshots", "images of releases", "logs and reports"


def tidy_runs(config: Config, remove_them: bool, who: str = PIPELINE) -> Tidied:
    """Folders of old runs, and the listings of announced data that no run uses any more.

    Raises:
        ReleaseError, ChampionError, AuditError: what must stay is not known; nothing was removed.
        RegistryUnavailable, RegistryRefused: the registry does not tell what serves.
        StorageError: something cannot be removed.
    """
    from ml_tasks.release.old_runs import judged_runs, judged_snapshots

    runs, snapshots = config.paths.runs, config.paths.snapshots
    with locked(runs / "housekeeping"):
        finished = sum(map(finish_removals, (runs, snapshots))) if remove_them else 0
        judged = judged_runs(config)
        looked = [*judged, *judged_snapshots(config, judged)]
        if remove_them:
            looked = [each if each.stays else _remove(config, each, who) for each in looked]
    return _told(Tidied(kind=RUNS, removed=remove_them, looked=tuple(looked), finished=finished))


def tidy_images(config: Config, remove_them: bool, who: str = PIPELINE) -> Tidied:
    """Images of old releases, by `mammo prune`; their records and bundles stay.

    Raises:
        ReleaseError: what serves is not known for sure.
        RegistryUnavailable, RegistryRefused: the registry does not do it.
    """
    from ml_tasks.release.engine import connect
    from ml_tasks.release.ledger import read_moves
    from ml_tasks.release.retention import prune

    if not read_moves(config.paths.releases):  # then nobody need have a registry either
        return _told(Tidied(kind=IMAGES, removed=remove_them))
    client = None
    if remove_them:
        try:
            client = connect()
        except EngineUnavailable as error:
            log.warning("images stay in the engine: %s", error)
    try:
        keep = config.housekeeping.keep_releases
        with acting(who):
            judged = prune(config, keep, client, remove_them, bundles=False)
    finally:
        if client is not None:
            client.close()
    looked = tuple(Looked(path=Path(each.version), stays=each.stays) for each in judged)
    return _told(Tidied(kind=IMAGES, removed=remove_them, looked=looked))


def tidy_logs(
    config: Config, remove_them: bool, airflow_logs: Path | None, who: str = PIPELINE
) -> Tidied:
    """Airflow's logs, the service's rotated statistics and the drift reports, by their age.

    What drift still looks at stays, whatever its age. Links are not followed.

    Raises:
        StorageError: something cannot be removed.
    """
    drift = config.paths.drift
    finished = finish_removals(drift) if remove_them else 0
    looked = tuple(old_logs(config, airflow_logs))
    if remove_them and looked:
        days = f"older than {config.housekeeping.keep_days:g} days"
        subject = f"{len(looked)} logs and reports"
        note(config.paths.releases, Deed.REMOVED, subject, who, days)
        for path in (each.path for each in looked):
            if path.parent == drift:
                remove(path)
            else:
                path.unlink(missing_ok=True)
                remove_empty(path.parent, airflow_logs)
    return _told(Tidied(kind=LOGS, removed=remove_them, looked=looked, finished=finished))


def _remove(config: Config, each: Looked, who: str) -> Looked:
    """Removes it, unless somebody has begun to work on it since it was judged."""
    path = each.path
    if last_touched(path) >= time.time() - config.housekeeping.keep_days * _DAY:
        return each.model_copy(update={"stays": "was touched just now"})
    # First: what a kill leaves half done is then nothing that went without a word.
    note(config.paths.releases, Deed.REMOVED, path.name, who, "older than housekeeping keeps")
    try:
        remove(path)
        logs = config.paths.logs / path.name  # of `python -m ml_tasks.train`
        if path.parent == config.paths.runs and logs.is_dir() and not logs.is_symlink():
            remove(logs)
    except StorageError as error:  # the others go all the same
        return each.model_copy(update={"stays": f"{NOT_REMOVED}{error}"})
    return each


def _told(found: Tidied) -> Tidied:
    verb = "removed" if found.removed else "may go"
    for each in found.looked[:_MOST_TOLD]:
        state = f"stays: {each.stays}" if each.stays else f"{verb} ({each.bytes / 1e6:,.1f} MB)"
        log.info("%s: %s", each.name, state)
    if len(found.looked) > _MOST_TOLD:
        log.info("... and %d more", len(found.looked) - _MOST_TOLD)
    failed = [each.stays for each in found.looked if each.stays.startswith(NOT_REMOVED)]
    if failed:
        raise StorageError(f"{found.summary()}; {'; '.join(failed)}")
    log.info("%s", found.summary())
    return found
