"""Raw PNG in, answer out, over HTTP: what each service adds, and how many images it answers."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.load import Load, many_at_once, one_by_one, upload
from benchmarks.raw_runtime import ways
from benchmarks.served_release import ServedRelease
from benchmarks.services import GUIDE, OURS, Running, Service, running
from benchmarks.table import Row
from benchmarks.timing import Ratio, Seconds, median_of, orders, ratio
from benchmarks.worker import Worker

ADDED_GOAL, SHARE_GOAL, PEERS_ADDED_GOAL, PEERS_GOAL, GUIDE_GOAL = 3.0, 0.9, 0.5, 1.0, 4.0
CLIENTS = 16
_RAW = "imaging and model"


@dataclass(frozen=True)
class Counts:
    """How much is measured in each of so many rounds."""

    rounds: int
    one_by_one: int  # requests
    at_once: int  # requests of all clients together


@dataclass
class Found:
    """What the rounds gave, by contender."""

    seconds: dict[str, list[float]] = field(default_factory=dict)  # median of one by one
    images: dict[str, list[float]] = field(default_factory=dict)  # a second
    client_share: list[float] = field(default_factory=list)

    def add(self, name: str, seconds: Sequence[float] | Seconds) -> None:
        """The requests of one round."""
        self.seconds.setdefault(name, []).append(float(np.median(seconds)))

    def add_load(self, name: str, images_per_second: float) -> None:
        """The throughput of one round."""
        self.images.setdefault(name, []).append(images_per_second)

    def added(self, name: str) -> Seconds:
        """Milliseconds over imaging and model, round by round."""
        return 1000 * (np.asarray(self.seconds[name]) - np.asarray(self.seconds[_RAW]))

    def throughput(self, name: str) -> Seconds:
        """Images a second, round by round."""
        return np.asarray(self.images[name])


def rows(
    release: ServedRelease, folder: Path, services: Sequence[Service], counts: Counts
) -> list[Row]:
    """Ours, which must be among `services`, against the raw runtime and all others."""
    found = measure(release, folder, services, counts)
    others = [service.name for service in services if service not in (OURS, GUIDE)]
    return [
        _added(found),
        _share(found, len(os.sched_getaffinity(0))),
        *(row for name in others for row in (_added_by_peer(found, name), _ahead(found, name))),
        *([_guide(found)] if GUIDE in services else []),
        _client(found),
    ]


def measure(
    release: ServedRelease, folder: Path, services: Sequence[Service], counts: Counts
) -> Found:
    """Everything runs in every round; who is not measured is halted meanwhile."""
    files = [folder / f"film_{number}.png" for number in range(len(release.films))]
    for file, film in zip(files, release.films, strict=True):
        file.write_bytes(film)
    found = Found()
    with ExitStack() as stack:
        arguments = (str(release.bundle), *map(str, files))
        raw = Worker(Path(sys.executable), "benchmarks.raw_runtime", arguments)
        stack.enter_context(closing(raw))
        started: dict[str, Running] = {}
        for service in services:
            log = folder / f"{service.name}.log"
            started[service.name] = stack.enter_context(running(service, release.bundle, log))
            started[service.name].halt()
        for number, order in enumerate(orders([_RAW, *started], counts.rounds + 1)):
            into = found if number else Found()  # the first round warms up
            for name in order:
                if name == _RAW:
                    _raw_round(raw, counts, into)
                else:
                    _service_round(started[name], release.films, counts, into)
    return found


def _raw_round(raw: Worker, counts: Counts, into: Found) -> None:
    into.add(_RAW, raw.ask("one_by_one", counts.one_by_one))
    for workers, threads in ways(len(os.sched_getaffinity(0))):
        images = raw.ask("at_once", counts.at_once, workers, threads)
        into.add_load(_way(workers, threads), images)


def _service_round(service: Running, films: Sequence[bytes], counts: Counts, into: Found) -> None:
    requests = itertools.cycle([upload(service.service.path, film) for film in films])
    service.go_on()
    single = list(itertools.islice(requests, counts.one_by_one))
    into.add(service.service.name, one_by_one(service.port, single))
    many: Load = many_at_once(
        service.port, list(itertools.islice(requests, counts.at_once)), CLIENTS
    )
    into.add_load(service.service.name, many.images_per_second)
    into.client_share.append(many.client_share)
    service.halt()


def _added(found: Found) -> Row:
    figure = median_of(found.added(OURS.name))
    return Row(
        "Over HTTP, one client: milliseconds that the service adds to imaging and model (p50)",
        _milliseconds(found.seconds, OURS.name),
        f"{_RAW} {_milliseconds(found.seconds, _RAW)}",
        figure,
        f"at most {ADDED_GOAL:g} ms",
        figure.median <= ADDED_GOAL,
    )


def _share(found: Found, cores: int) -> Row:
    raw = {_way(*way): found.throughput(_way(*way)) for way in ways(cores)}
    best = max(raw, key=lambda name: float(np.median(raw[name])))
    figure = ratio(found.throughput(OURS.name), raw[best])
    return Row(
        f"{CLIENTS} clients: images a second of the service / of imaging and model alone ({best})",
        _rate(found.images, OURS.name),
        "; ".join(_rate(found.images, name) + f" ({name})" for name in raw),
        figure,
        f"at least {SHARE_GOAL}",
        figure.median >= SHARE_GOAL,
    )


def _added_by_peer(found: Found, name: str) -> Row:
    ours, theirs = found.added(OURS.name), found.added(name)
    figure = _share_of_medians(ours, theirs)
    return Row(
        f"Milliseconds added: ours / {name}",
        f"{np.median(ours):.1f} ms",
        f"{np.median(theirs):.1f} ms",
        figure,
        f"at most {PEERS_ADDED_GOAL}",
        figure <= PEERS_ADDED_GOAL,
    )


def _share_of_medians(ours: Seconds, theirs: Seconds) -> float:
    """Of medians, not of rounds: what a round adds may be near nothing, or below it by noise."""
    above, below = max(float(np.median(ours)), 0.0), float(np.median(theirs))
    return above / below if below > 0 else float("inf")


def _ahead(found: Found, name: str) -> Row:
    figure = ratio(found.throughput(OURS.name), found.throughput(name))
    return Row(
        f"{CLIENTS} clients, images a second: ours / {name}",
        _rate(found.images, OURS.name),
        _rate(found.images, name),
        figure,
        "ahead or level",
        figure.high >= PEERS_GOAL,
    )


def _guide(found: Found) -> Row:
    figure = ratio(found.throughput(OURS.name), found.throughput(GUIDE.name))
    return Row(
        f"{CLIENTS} clients, images a second: ours / {GUIDE.name}",
        _rate(found.images, OURS.name),
        _rate(found.images, GUIDE.name),
        figure,
        f"at least {GUIDE_GOAL:g}",
        figure.median >= GUIDE_GOAL,
    )


def _client(found: Found) -> Row:
    share: Ratio = median_of(np.asarray(found.client_share))
    return Row("Share of one core that the client itself takes", "", "", share)


def _way(workers: int, threads: int) -> str:
    return f"{workers}×{threads}"


def _milliseconds(seconds: Mapping[str, Sequence[float]], name: str) -> str:
    return f"{1000 * float(np.median(seconds[name])):.1f} ms"


def _rate(images: Mapping[str, Sequence[float]], name: str) -> str:
    return f"{float(np.median(images[name])):.1f}/s"
