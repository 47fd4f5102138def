"""How long a test in a browser waits for what a page shall show, and what it loads again."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import BrowserContext, Error, Page, Request

from tests.waiting import PATIENCE

# A page may load for long on a machine that does other things beside it: the five seconds that
# Playwright gives a text to appear are too few for Airflow's logs there.
PATIENCE_MS = int(PATIENCE * 1000)
# Chromium drops what it is loading whenever a container, anybody's, comes or goes on the machine.
CHANGED = "ERR_NETWORK_CHANGED"


def patient_goto(page: Page, address: str) -> None:
    """Opens a page; again if the machine's network interfaces changed while it loaded."""
    deadline = time.monotonic() + PATIENCE
    while not _came_whole(page, address):
        assert time.monotonic() < deadline, f"{CHANGED} at each try to load {address}"
        page.wait_for_timeout(500)


def undisturbed(window: BrowserContext, step: Callable[[Page], None]) -> None:
    """Takes a step in a new tab; again in another if the machine's network changed meanwhile.

    What a lost request was to bring may never come, so the tab is closed with it: each wait of the
    step ends at once. What the step sends may have been taken all the same, which it has to bear.
    Any other error is raised as it is.
    """
    deadline = time.monotonic() + PATIENCE
    while not _taken(window, step, deadline):
        time.sleep(1)  # changes come in swarms


def _taken(window: BrowserContext, step: Callable[[Page], None], deadline: float) -> bool:
    tab = window.new_page()
    lost: list[str] = []

    def note(request: Request) -> None:
        # The last try is left alone: not everything that gets lost is missed.
        early = time.monotonic() < deadline
        if early and not lost and CHANGED in (request.failure or ""):
            lost.append(request.url)
            tab.close(reason=CHANGED)

    tab.on("requestfailed", note)
    try:
        step(tab)
    except (Error, AssertionError) as error:
        # A page that could not be opened says so, maybe before its request is known to be lost.
        if lost or (CHANGED in str(error) and time.monotonic() < deadline):
            return False
        raise
    finally:
        tab.close()
    return True


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
