"""A step is taken again when the machine's network changed, and for no other reason."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.patience import PATIENCE_MS, undisturbed
from tests.waiting import PATIENCE

LINK = "mammo-changed"
CONNECTIONS = 6  # to one host at a time


class SlowPages(ThreadingHTTPServer):
    """A page with frames that do not come until `released`.

    There are more of them than Chromium opens connections: those that wait for one get lost.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked, self.released = threading.Semaphore(0), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: SlowPages

    def do_GET(self) -> None:
        text = "".join(f"<iframe src='/{number}'></iframe>" for number in range(CONNECTIONS + 2))
        if self.path != "/":
            self.server.asked.release()
            self.server.released.wait(PATIENCE)
            text = "it came"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def pages() -> Iterator[SlowPages]:
    with SlowPages() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        context.set_default_timeout(PATIENCE_MS)
        yield context


@pytest.mark.skipif(os.geteuid() != 0, reason="only root adds to the machine's network")
def test_what_got_lost_while_the_network_changed_is_asked_for_again(
    window: BrowserContext, pages: SlowPages, change: Callable[[], None]
) -> None:
    """As where Docker makes a bridge; the frame would never have come."""
    tries: list[Page] = []

    def step(tab: Page) -> None:
        tries.append(tab)
        tab.goto(pages.url, wait_until="commit")
        if len(tries) == 1:
            for _ in range(CONNECTIONS):
                assert pages.asked.acquire(timeout=PATIENCE)
            change()
        else:
            pages.released.set()
        last = tab.frame_locator("iframe >> nth=-1")
        expect(last.locator("body")).to_have_text("it came")

    undisturbed(window, step)
    assert len(tries) > 1
    assert all(tab.is_closed() for tab in tries)


def test_what_is_wrong_is_said_at_once(window: BrowserContext, pages: SlowPages) -> None:
    tries: list[Page] = []

    def step(tab: Page) -> None:
        tries.append(tab)
        raise AssertionError("wrong figures")

    with pytest.raises(AssertionError, match="wrong figures"):
        undisturbed(window, step)
    assert len(tries) == 1


@pytest.fixture
def change() -> Iterator[Callable[[], None]]:
    """Adds an address to the machine, as Docker does with a bridge; it goes after the test."""
    yield lambda: _ip(
        ["link", "add", LINK, "type", "bridge"],
        ["address", "add", "198.51.100.1/30", "dev", LINK],
        ["link", "set", LINK, "up"],
    )
    subprocess.run(["ip", "link", "delete", LINK], check=False, capture_output=True)


def _ip(*commands: list[str]) -> None:
    for words in commands:
        subprocess.run(["ip", *words], check=True, capture_output=True)
