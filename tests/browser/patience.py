"""How long a test in a browser waits for what a page shall show, and what it loads again."""

from __future__ import annotations

import time

from playwright.sync_api import Error, Page, Request

from tests.waiting import PATIENCE

# A page may load for long on a machine that does other things beside it: the five seconds that
# Playwright gives a text to appear are too few for Airflow's logs there.
PATIENCE_MS = 60_000
# Chromium drops what it is loading whenever a container, anybody's, comes or goes on the machine.
CHANGED = "ERR_NETWORK_CHANGED"


def patient_goto(page: Page, address: str) -> None:
    """Opens a page; again if the machine's network interfaces changed while it loaded."""
    deadline = time.monotonic() + PATIENCE
    while not _came_whole(page, address):
        assert time.monotonic() < deadline, f"{CHANGED} at each try to load {address}"
        page.wait_for_timeout(500)


def _came_whole(page: Page, address: str) -> bool:
    lost: list[str] = []

    def note(request: Request) -> None:
        if CHANGED in (request.failure or ""):
            lost.append(request.url)

    page.on("requestfailed", note)
    try:
        page.goto(address)
    except Error as error:
        if CHANGED not in error.message:
            raise
        return False
    finally:
        page.remove_listener("requestfailed", note)
    return not lost
