"""The bounded queue before the model: a few requests at work, some waiting, the rest refused."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ml_tasks.serving.refusals import RequestRefused

T = TypeVar("T")

_SMOOTHING = 0.1  # of the mean time that one request takes
_LONGEST_WAIT = 60  # seconds that a client is ever told to wait


class WorkQueue:
    """At most `at_once` pieces of work run, in threads, and `most_waiting` wait their turn."""

    def __init__(self, at_once: int, most_waiting: int) -> None:
        self.at_once, self.most_waiting = at_once, most_waiting
        self.waiting = self.working = 0
        self._mean_seconds = 0.05
        self._turns = asyncio.Semaphore(at_once)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="judge")

    def check(self) -> None:
        """Returns if one more may come.

        Raises:
            RequestRefused: `busy`, with how long to wait before trying again.
        """
        if self.waiting >= self.most_waiting and self._turns.locked():
            raise RequestRefused(
                "busy",
                f"{self.working} at work and {self.waiting} waiting: no more are taken; try again",
                self._retry_after(),
            )

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises, once its turn has come.

        Cancelled, it leaves the queue; work that already runs goes on to its end and keeps its
        place until then, since a thread cannot be stopped.

        Raises:
            RequestRefused: `busy`.
        """
        self.check()
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1
        self.working += 1
        loop = asyncio.get_running_loop()
        started = loop.time()
        job = self._threads.submit(work)

        def ended(_: Future[T]) -> None:
            loop.call_soon_threadsafe(self._ended, loop.time() - started)

        job.add_done_callback(ended)
        return await asyncio.wrap_future(job)

    def close(self) -> None:
        """Lets the threads end; what runs is not waited for."""
        self._threads.shutdown(wait=False)

    def _ended(self, seconds: float) -> None:
        self.working -= 1
        self._mean_seconds += _SMOOTHING * (seconds - self._mean_seconds)
        self._turns.release()

    def _retry_after(self) -> int:
        seconds = self.most_waiting * self._mean_seconds / self.at_once / 2
        return max(1, min(_LONGEST_WAIT, math.ceil(seconds)))
