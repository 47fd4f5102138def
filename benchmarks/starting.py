"""How long a service takes to be ready, and how much memory it holds once it has worked."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.load import many_at_once, upload
from benchmarks.over_http import CLIENTS
from benchmarks.served_release import ServedRelease
from benchmarks.services import ON_TENSORFLOW, OURS, Service, running
from benchmarks.table import Row
from benchmarks.timing import Seconds, median_of, orders, ratio

READY_GOAL, READY_RATIO_GOAL, MEMORY_GOAL = 1.0, 5.0, 300.0
REQUESTS = 200


def rows(
    release: ServedRelease, folder: Path, starts: int, others: Sequence[Service] = (ON_TENSORFLOW,)
) -> list[Row]:
    """Ours in turn with `others`; every start is a new process, the files are in the cache."""
    seconds = _ready(release, folder, (OURS, *others), starts)
    ours = median_of(seconds[OURS.name])
    ready = Row(
        "Process start to the first 200 from /ready, in seconds",
        f"{ours.median:.2f} s",
        "",
        ours,
        f"at most {READY_GOAL:g} s",
        ours.median <= READY_GOAL,
    )
    return [
        ready,
        *(_against(seconds, service) for service in others),
        *(_memory(release, folder, service) for service in (OURS, *others)),
    ]


def _ready(
    release: ServedRelease, folder: Path, services: Sequence[Service], starts: int
) -> dict[str, Seconds]:
    by_name = {service.name: service for service in services}
    seconds: dict[str, list[float]] = {name: [] for name in by_name}
    for number, order in enumerate(orders(by_name, starts + 1)):
        for name in order:
            log = folder / f"start of {name}.log"
            with running(by_name[name], release.bundle, log) as started:
                if number:  # the first round fills the file cache
                    seconds[name].append(started.ready_seconds)
    return {name: np.asarray(each) for name, each in seconds.items()}


def _against(seconds: dict[str, Seconds], service: Service) -> Row:
    figure = ratio(seconds[service.name], seconds[OURS.name])
    return Row(
        f"Process start to ready: {service.name} / ours",
        f"{np.median(seconds[OURS.name]):.2f} s",
        f"{np.median(seconds[service.name]):.2f} s",
        figure,
        f"at least {READY_RATIO_GOAL:g}",
        figure.median >= READY_RATIO_GOAL,
    )


def _memory(release: ServedRelease, folder: Path, service: Service) -> Row:
    with running(service, release.bundle, folder / f"memory of {service.name}.log") as started:
        requests = itertools.cycle([upload(service.path, film) for film in release.films])
        many_at_once(started.port, list(itertools.islice(requests, REQUESTS)), CLIENTS)
        held, most = started.megabytes("VmRSS"), started.megabytes("VmHWM")
    ours = service is OURS
    return Row(
        f"Memory of {service.name} after {REQUESTS} films from {CLIENTS} clients, in MB",
        f"{held:.0f} MB, at most {most:.0f} MB" if ours else "",
        "" if ours else f"{held:.0f} MB, at most {most:.0f} MB",
        held,
        f"at most {MEMORY_GOAL:g} MB" if ours else "",
        held <= MEMORY_GOAL if ours else None,
    )
