"""The trials of the smoke test: each has a limit, a line in the log, and a remedy if it fails."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from ml_tasks.config_release import SmokeLimits
from ml_tasks.errors import ReleaseError
from ml_tasks.records import Trial
from ml_tasks.release.bad_input import bad_files
from ml_tasks.release.confinement import MEMORY, PROCESSES, USER
from ml_tasks.release.container import RunningImage

log = logging.getLogger(__name__)

ENDPOINT = "/inference/predict"
_TAKEN_ON = 0.5  # seconds until the service has surely begun with a request, or noticed SIGTERM
_LOOK_EVERY = 0.05


@dataclass
class Trials:
    """The trials so far; all are run before the image is refused, so that all are seen."""

    done: list[Trial] = field(default_factory=list)
    _failures: list[str] = field(default_factory=list)

    def at_most(self, name: str, value: float, limit: float, unit: str, remedy: str) -> None:
        """Passes if `value` is a number up to `limit`."""
        passed = bool(value <= limit)
        self._add(Trial(trial=name, value=value, limit=limit, unit=unit, passed=passed), remedy)

    def equal(self, name: str, value: float | str, limit: float | str, remedy: str) -> None:
        """Passes if `value` is just that."""
        self._add(Trial(trial=name, value=value, limit=limit, passed=value == limit), remedy)

    def check(self) -> None:
        """Refuses the image if a trial failed.

        Raises:
            ReleaseError: names each with its value, its limit and what to do.
        """
        if self._failures:
            raise ReleaseError(
                f"the image failed {len(self._failures)} of {len(self.done)} trials: "
                + "; ".join(self._failures)
            )

    def _add(self, trial: Trial, remedy: str) -> None:
        self.done.append(trial)
        if trial.passed:
            log.info("trial passed: %s", trial.in_words())
        else:
            log.error("trial FAILED: %s", trial.in_words())
            self._failures.append(f"{trial.in_words()}: {remedy}")


def setting(name: str, otherwise: str) -> str:
    """The remedy of a trial whose limit is set by a person."""
    return f"{otherwise}, or raise release.smoke.{name} in config.yaml if it may be so"


def try_bad_input(running: RunningImage, trials: Trials) -> dict[str, int]:
    """Sends what must be refused clearly, and looks that the service is there after it."""
    remedy = "the service must refuse it with a status of 4xx and say why; do not ship it"
    statuses = {}
    for name, data in bad_files().items():
        answer = running.post(ENDPOINT, data)
        statuses[name] = answer.status_code
        clear = 400 <= answer.status_code < 500 and _says_why(answer)
        found = "refused" if clear else f"HTTP {answer.status_code}: {answer.text[:100]}"
        trials.equal(f"bad input, {name}", found, "refused", remedy)
    ready = running.get("/ready").status_code
    trials.equal("ready after bad input", ready, 200, "bad input must not end the service")
    return statuses


def try_isolation(running: RunningImage, trials: Trials) -> int:
    """Looks from inside whether the flags hold; gives the most bytes held, as seen from there."""
    seen = running.look_inside()
    ways = [f"the network {name} leads outside" for name in running.outward()]
    ways += [f"{seen['way_out']} answered"] if seen["way_out"] else []
    trials.equal(
        "network",
        ", ".join(ways) or "no way out",
        "no way out",
        "the engine did not keep the image apart; see that its internal networks work",
    )
    limits = running.limits()
    wanted = {
        "user": int(USER.partition(":")[0]),
        "capabilities": 0,
        "no_new_privileges": True,
        "writable": [],
        "memory": MEMORY,
        "processes": PROCESSES,
    }
    odd = [
        f"{name} {(seen | limits)[name]}"
        for name in wanted
        if (seen | limits)[name] != wanted[name]
    ]
    remedy = "the engine did not run the image as told; see `docker info` for what it lacks"
    trials.equal("flags", ", ".join(odd) or "hold", "hold", remedy)
    return int(seen["peak_bytes"])


def try_memory(running: RunningImage, seen: int, limits: SmokeLimits, trials: Trials) -> None:
    """The most that the container ever held: by its engine, else as `seen` from inside."""
    peak = (running.peak_bytes() or seen) / 1e6
    remedy = setting("memory_mb", "find what holds so much")
    trials.at_most("memory", round(peak, 1), limits.memory_mb, "MB", remedy)


def try_drain(running: RunningImage, data: bytes, limits: SmokeLimits, trials: Trials) -> None:
    """Tells the service to end while it answers: the answer must come, then a clean end."""
    told: list[float] = []
    request = running.http.build_request("POST", ENDPOINT, files={"file": ("image", data)})
    body = request.read()

    def slowly() -> Iterator[bytes]:
        yield body[: len(body) // 2]
        time.sleep(_TAKEN_ON)
        told.append(time.monotonic())
        running.container.kill("SIGTERM")
        time.sleep(_TAKEN_ON)
        yield body[len(body) // 2 :]

    kind = {"Content-Type": request.headers["Content-Type"], "Content-Length": str(len(body))}
    try:
        answer = running.http.post(ENDPOINT, content=slowly(), headers=kind)
        found = f"HTTP {answer.status_code}"
    except httpx.TransportError as error:
        found = f"none ({error})"
    if not told:  # it took no connection any more, so that it was never told
        told.append(time.monotonic())
    remedy = "what the service has taken on must be answered before it ends; do not ship it"
    trials.equal("answer in flight at SIGTERM", found, "HTTP 200", remedy)
    ended = running.wait_for_end(told[0] + limits.drain_seconds)
    # Rounded up: what had not ended by the limit is over it.
    seconds = math.ceil((time.monotonic() - told[0]) * 100) / 100
    remedy = setting("drain_seconds", "the service must end when told to")
    trials.at_most("drain", seconds, limits.drain_seconds, "s", remedy)
    remedy = "a clean end has the exit status 0"
    trials.equal("exit status", "none" if ended is None else ended, 0, remedy)


def _says_why(answer: httpx.Response) -> bool:
    try:
        content = answer.json()
    except ValueError:
        return False
    return isinstance(content, dict) and {"error", "detail"} <= set(content)
