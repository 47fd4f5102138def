"""Contenders timed in turn, and the ratio of two of them with an interval."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 2000
_SEED = 20260101


@dataclass(frozen=True)
class Ratio:
    """A median ratio and its 95 % interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


Seconds = NDArray[np.float64]


def in_turn(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """Seconds (rounds,) of each contender; every round runs all of them, in an order of its own.

    A machine that is slower for a while is so for all of them. The first round warms up and does
    not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number, order in enumerate(orders(contenders, rounds + 1)):
        for name in order:
            start = time.perf_counter()
            contenders[name]()
            taken = time.perf_counter() - start
            if number:
                seconds[name].append(taken)
    return {name: np.asarray(values) for name, values in seconds.items()}


def orders(names: Iterable[str], rounds: int) -> Iterator[list[str]]:
    """The names in an order that changes every round, the same in every run."""
    order, shuffled = list(names), random.Random(_SEED)
    for _ in range(rounds):
        shuffled.shuffle(order)
        yield list(order)


def ratio(above: Seconds, below: Seconds) -> Ratio:
    """The median over rounds of above/below, its interval by bootstrap over rounds."""
    return median_of(above / below)


def median_of(each: Seconds) -> Ratio:
    """The median of a figure that each round has, its interval by bootstrap over rounds."""
    random_state = np.random.default_rng(_SEED)
    drawn = np.median(random_state.choice(each, (_RESAMPLES, len(each))), axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Ratio(float(np.median(each)), float(low), float(high))


def fastest(seconds: Mapping[str, Seconds], among: list[str]) -> str:
    """The name with the smallest median."""
    return min(among, key=lambda name: float(np.median(seconds[name])))
