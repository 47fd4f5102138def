"""Imaging and model without a service: `python -m benchmarks.raw_runtime BUNDLE FILM...`.

What a service adds is measured against this, and how many images a second it loses.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.peer_services.answering import Runtime
from benchmarks.worker import answer_commands


def ways(cores: int) -> list[tuple[int, int]]:
    """Images at once, and threads for each: all that use every core, and one image more."""
    return [(1, cores), (cores, 1), (cores + 1, 1), (2, cores)]


def main() -> None:
    """Answers `one_by_one` with seconds and `at_once` with images a second."""
    bundle, *files = sys.argv[1:]
    films = [Path(file).read_bytes() for file in files]
    cores = len(os.sched_getaffinity(0))
    runtimes = {threads: Runtime(Path(bundle), threads) for threads in {1, cores}}
    pools = {workers: ThreadPoolExecutor(workers) for workers, _ in ways(cores)}

    def one_by_one(count: int) -> list[float]:
        seconds = []
        for film in itertools.islice(itertools.cycle(films), count):
            start = time.perf_counter()
            runtimes[cores](film)
            seconds.append(time.perf_counter() - start)
        return seconds

    def at_once(count: int, workers: int, threads: int) -> float:
        start = time.perf_counter()
        list(pools[workers].map(runtimes[threads], itertools.islice(itertools.cycle(films), count)))
        return count / (time.perf_counter() - start)

    answer_commands({"one_by_one": one_by_one, "at_once": at_once})


if __name__ == "__main__":
    main()
