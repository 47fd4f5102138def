"""What serves, asked of the registry with a patience that a page can afford."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass, field, replace

from ml_tasks.config import Config
from ml_tasks.errors import MammoError
from ml_tasks.release.releases import Releases, Shipped, list_releases

log = logging.getLogger(__name__)

PATIENCE = 8.0  # seconds


@dataclass(frozen=True)
class Serving:
    """The releases by version; `known`: the registry has said what serves."""

    repository: str
    known: bool = False
    listed: bool = False  # whether `shipped` holds every release that was ever in production
    version: str = ""
    unknown: str = ""  # digest that serves, of no release as it was last noted
    shipped: Mapping[str, Shipped] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def serving_now(config: Config, patience: float = PATIENCE) -> Serving:
    """The releases held against the registry; what cannot be told is a problem in words."""
    repository = f"{config.release.registry}/{config.release.image}"
    pool = ThreadPoolExecutor(1)
    try:
        listed = pool.submit(list_releases, config).result(patience)
    except TookTooLong:
        text = f"what serves is not known: {repository} has not answered within {patience:.0f} s"
        return _by_the_ledger(config, repository, text)
    except (MammoError, OSError, ValueError) as error:
        log.warning("the releases cannot be listed: %s", error)
        return Serving(repository, problems=(f"the releases cannot be listed: {error}",))
    finally:
        pool.shutdown(wait=False)
    return _told(listed)


def _by_the_ledger(config: Config, repository: str, problem: str) -> Serving:
    """What was shipped is known without the registry; what serves is not."""
    try:
        told = _told(list_releases(config, ask_registry=False))
    except (MammoError, OSError, ValueError) as error:
        text = f"the releases cannot be listed: {error}"
        return Serving(repository, problems=(problem, text))
    return replace(told, known=False, problems=(problem, *told.problems))


def _told(listed: Releases) -> Serving:
    shipped = {each.version: each for each in listed.releases}
    known = not any(each.in_registry is None for each in listed.releases)
    serving = next((each.version for each in listed.releases if each.serves), "")
    if not listed.releases:
        known = not listed.problems
    return Serving(
        repository=listed.repository,
        known=known,
        listed=True,
        version=serving,
        unknown="" if serving else listed.production or "",
        shipped=shipped,
        problems=listed.problems,
    )
