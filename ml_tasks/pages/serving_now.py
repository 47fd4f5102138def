"""What serves, asked of the registry with a patience that a page can afford."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass, field

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
    version: str = ""
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
        return Serving(repository, problems=(text,))
    except (MammoError, OSError, ValueError) as error:
        log.warning("the releases cannot be listed: %s", error)
        return Serving(repository, problems=(f"the releases cannot be listed: {error}",))
    finally:
        pool.shutdown(wait=False)
    return _told(listed)


def _told(listed: Releases) -> Serving:
    shipped = {each.version: each for each in listed.releases}
    known = not any(each.in_registry is None for each in listed.releases)
    serving = next((each.version for each in listed.releases if each.serves), "")
    if not listed.releases:
        known = not listed.problems
    return Serving(listed.repository, known, serving, shipped, listed.problems)
