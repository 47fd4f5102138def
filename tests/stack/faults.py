"""What the fault tests share: the record of each recovery, and a watcher of `production`."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from ml_tasks.deployment.compose import docker
from ml_tasks.errors import RegistryRefused, RegistryUnavailable
from ml_tasks.local_stack.airflow_api import TaskInstance
from ml_tasks.records import SmokeRecord
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.ledger import read_moves
from ml_tasks.release.registry_api import Registry
from ml_tasks.run_paths import RECORD
from tests.stack.running_stack import CHECKOUT, RUN_SECONDS, RunningStack
from tests.waiting import ended

RECORDED = CHECKOUT / ".local" / "faults.jsonl"
# What a recovery may wait for that a team's stack does in minutes and a test in seconds.
DEAD_WORKER = "dead worker noticed"
RETRY = "retry"
QUEUED_AGAIN = "queued again"
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Fault:
    """One fault that was made, and how the stage went on."""

    stage: str
    fault: str
    happened: str
    seconds: float  # from the fault until the stage went on, or was complete
    waits: tuple[str, ...] = ()  # DEAD_WORKER, …: what of it a team's settings make longer


def record(fault: Fault) -> None:
    """Prints a fault as a row, and keeps it for the table of docs/faults.md."""
    print(f"\n| {fault.stage} | {fault.fault} | {fault.happened} | {fault.seconds:.1f} s |")  # noqa: T201 - the row that the table is made of
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    test = re.sub(r"@\w+$", "", test)  # the group, where tests run side by side
    when = datetime.now(UTC).isoformat(timespec="seconds")
    line = {**asdict(fault), "seconds": round(fault.seconds, 1), "test": test, "when": when}
    RECORDED.parent.mkdir(exist_ok=True)
    with RECORDED.open("a") as file:
        file.write(json.dumps(line) + "\n")


def wait_for_try(running: RunningStack, run_id: str, task: str, number: int) -> TaskInstance:
    """Returns once the task runs in its try `number`, or has ended well in it."""
    deadline = time.monotonic() + RUN_SECONDS
    while True:
        found = running.tasks(run_id).get(task)
        if found is not None and found.try_number >= number:
            if found.state in ("running", "success"):
                return found
            assert not found.ended, f"{task} is {found.state} in try {found.try_number}"
        now = None if found is None else (found.state, found.try_number)
        assert time.monotonic() < deadline, f"{task} is {now}, not in try {number}"
        time.sleep(0.3)


@dataclass
class ProductionWatcher:
    """Looks at `production` all the time, as the one reads it who pulls what serves.

    Whatever it points to must be whole, and an image whose smoke test has passed.
    """

    running: RunningStack
    seen: list[str | None] = field(default_factory=list)  # each value, as it changed
    looks: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._end.set()
        ended(self._thread)

    def _watch(self) -> None:
        while not self._end.is_set():
            try:
                self._look()
            except (RegistryUnavailable, RegistryRefused, StopIteration):
                pass  # it does not run just now, or ends: it says nothing, so nothing wrong
            except Exception as error:  # noqa: BLE001 - a thread's error would be lost
                self.wrong.append(f"{type(error).__name__}: {error}")
                return
            self._end.wait(POLL_SECONDS)

    def _look(self) -> None:
        with registry_read(self.running) as registry:
            while not self._end.is_set():
                digest = registry.digest(PRODUCTION)
                self.looks += 1
                if not self.seen or digest != self.seen[-1]:
                    self.seen.append(digest)
                    self.wrong += self._faulty(registry, digest)
                self._end.wait(POLL_SECONDS)

    def _faulty(self, registry: Registry, digest: str | None) -> list[str]:
        """What is wrong with what `production` points to."""
        if digest is None:
            return ["production is gone"] if len(self.seen) > 1 else []
        manifest = registry.manifest(digest)
        if manifest is None:
            return [f"production is {digest}, which the registry does not hold"]
        found = [f"{digest} lacks {blob}" for blob in registry.lacks(manifest)]
        if not any(manifest.is_of(image) for image in tested_images(self.running)):
            found.append(f"production is {digest}, whose smoke test has not passed")
        return found


@contextmanager
def watched_production(running: RunningStack) -> Iterator[ProductionWatcher]:
    """Around a fault: `production` was whole and tested at every look, and all moves are noted."""
    watcher = ProductionWatcher(running).start()
    try:
        yield watcher
    finally:
        watcher.stop()
    assert watcher.wrong == []
    assert watcher.looks > 0, "registry-read never answered, so nothing was watched"
    moves = read_moves(running.config.paths.releases) or []
    unnoted = {each for each in watcher.seen if each} - {move.digest for move in moves}
    assert not unnoted, f"the ledger does not know {unnoted}"


@contextmanager
def registry_read(running: RunningStack) -> Iterator[Registry]:
    """The registry as whoever only reads reaches it: inside the stack's network, without a login.

    Raises:
        RegistryUnavailable: it does not run.
    """
    found = running.compose.containers("registry-read")
    if not found:
        raise RegistryUnavailable("registry-read does not run")
    networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    addresses = docker("inspect", "--format", networks, found[0]).split()
    if not addresses:
        raise RegistryUnavailable("registry-read has no address yet")
    release = running.config.release
    url = f"http://{addresses[0]}:5000"
    with Registry(release.model_copy(update={"registry_url": url})) as registry:
        yield registry


def tested_images(running: RunningStack) -> set[str]:
    """The images whose smoke test has passed, in any run."""
    records = Path(running.config.paths.runs).glob(f"*/{SmokeRecord.stage}/{RECORD}")
    return {SmokeRecord.model_validate_json(path.read_bytes()).image_id for path in records}
