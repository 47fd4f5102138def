"""Upstream's images: pulled where a registry can be reached, given up on after a while."""

from __future__ import annotations

import logging
import threading
import time

import requests
from docker import DockerClient
from docker.errors import DockerException

log = logging.getLogger(__name__)

PULL_SECONDS = 60.0


def pulled(client: DockerClient, name: str, seconds: float = PULL_SECONDS) -> str | None:
    """The id of `name` (REPOSITORY:TAG), pulled; None where that fails or takes too long."""
    log.info("pulling %s (for at most %.0f s)", name, seconds)
    failures: list[Exception] = []
    found: list[str] = []
    repository, _, tag = name.rpartition(":")

    def work() -> None:
        try:
            found.append(str(client.images.pull(repository, tag).id))
        except (DockerException, requests.exceptions.RequestException) as error:
            failures.append(error)

    # The SDK's pull knows no time limit, and an engine without a network may wait for minutes.
    thread = threading.Thread(target=work, name=f"pull-{name}", daemon=True)
    started = time.monotonic()
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        log.info("%s was not there after %.0f s; building from Debian packages", name, seconds)
        return None
    if not found:
        why = failures[0] if failures else "no reason given"
        log.info("%s cannot be pulled (%s); building from Debian packages", name, why)
        return None
    log.info("pulled %s in %.0f s", name, time.monotonic() - started)
    # Not tagged in the thread: a pull that was given up on would later move the tag.
    return found[0]
