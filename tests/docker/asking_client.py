"""A client that sends a film again and again, and notes each answer and who gave it."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field

import httpx

from tests.toy_run import phantom
from tests.waiting import PATIENCE, ended

_ANEW = {"connection": "close"}


@dataclass(frozen=True)
class Answer:
    """One request: the moments (monotonic) when it was sent and answered, status and version."""

    sent: float
    came: float
    status: int  # 0: no answer
    version: str


@dataclass
class AskingClient:
    """Asks as long as the block lasts, every `every` seconds, over a new connection each time."""

    address: str
    every: float = 0.05
    answers: list[Answer] = field(default_factory=list)
    stall: float = 0.0  # the most seconds that this machine kept a thread waiting that does nothing

    def __enter__(self) -> AskingClient:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._ask, self._idle)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        ended(*self._threads)

    @property
    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    @property
    def versions(self) -> list[str]:
        """Who answered, each once, in the order of their first answers."""
        return list(dict.fromkeys(answer.version for answer in self.answers if answer.version))

    @property
    def longest_gap(self) -> float:
        """The most seconds between two good answers."""
        came = [answer.came for answer in self.answers if answer.status == 200]
        return max(after - before for before, after in itertools.pairwise(came))

    def _idle(self) -> None:
        while not self._stop.is_set():
            before = time.monotonic()
            self._stop.wait(self.every)
            self.stall = max(self.stall, time.monotonic() - before - self.every)

    def _ask(self) -> None:
        film, limits = {"file": ("film", phantom(110, 150, 120))}, httpx.Limits(max_connections=1)
        # verify: else each client reads all certificates of this machine first.
        with httpx.Client(
            limits=limits, timeout=PATIENCE, trust_env=False, verify=False, headers=_ANEW
        ) as http:
            while not self._stop.is_set():
                self._ask_once(http, film)

    def _ask_once(self, http: httpx.Client, film: dict[str, tuple[str, bytes]]) -> None:
        sent = time.monotonic()
        status, version = 0, ""
        try:
            answer = http.post(f"{self.address}/v1/predict", files=film)
            status, version = answer.status_code, answer.json().get("model_version", "")
        except (httpx.HTTPError, ValueError):
            pass
        came = time.monotonic()
        self.answers.append(Answer(sent, came, status, version))
        self._stop.wait(max(0.0, sent + self.every - came))
