"""The one way in which `production` moves: under the movers' lock, by one PUT of a manifest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ml_tasks.errors import PushError, RegistryUnavailable
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.patience import patiently
from ml_tasks.release.registry_api import Manifest, Registry
from ml_tasks.storage import locked

log = logging.getLogger(__name__)


def movers_lock(releases: Path) -> AbstractContextManager[None]:
    """Held by whoever moves `production` or deletes from its registry, around look and deed.

    A registry knows no "put this if that is still there": between reading the tag and writing it,
    another could write. What guards is this lock, on the disk that all movers share, and in Airflow
    the pool `production` with its one slot. Whoever writes the tag with other tools is noticed
    before and after, not hindered.
    """
    return locked(releases / PRODUCTION)


def point_production(
    registry: Registry, manifest: Manifest, attempts: int, allowed: Callable[[str | None], None]
) -> str | None:
    """Makes `production` point to a manifest; gives what it pointed to before, which may be that.

    `allowed` is handed what it points to, right before the PUT, and raises to stop it.

    Raises:
        PushError: the registry did not take it; says whether it may have moved.
        RegistryRefused: it wants another login.
    """
    seen: list[str | None] = []

    def attempt() -> None:
        seen.append(registry.digest(PRODUCTION))
        if seen[-1] == manifest.digest:
            return
        allowed(seen[-1])
        registry.put(manifest, PRODUCTION)
        found = registry.digest(PRODUCTION)
        if found != manifest.digest:
            raise PushError(f"{PRODUCTION} is {found} after it was set to {manifest.digest}")

    try:
        patiently(attempts, attempt)
    except RegistryUnavailable as error:
        what = f"it was {seen[0] or 'nothing'}" if seen else "it was not touched"
        raise PushError(f"{error}; whether {PRODUCTION} moved is not certain ({what})") from error
    before = seen[0]
    if before == manifest.digest:
        log.info("%s points to %s already", PRODUCTION, manifest.digest)
    else:
        log.info("%s moved from %s to %s", PRODUCTION, before or "nothing", manifest.digest)
    return before


@contextmanager
def noting(version: str, remedy: str) -> Iterator[None]:
    """Around the ledger's line: if it is not written, says that `production` moved all the same."""
    try:
        yield
    except BaseException as error:
        reason = str(error) or type(error).__name__
        log.error("%s serves %s, which was not noted (%s); %s", PRODUCTION, version, reason, remedy)
        raise


def now() -> str:
    """The moment of a move, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
