"""Trains the toy network in forked processes and ends them as it is told: by SIGKILL, by SIGTERM.

TensorFlow takes seconds to import and cannot be forked once it has computed: this process only
imports it, and each attempt is a fork.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ml_tasks import storage
from ml_tasks import train as stage
from ml_tasks.config import Config, load_config
from ml_tasks.errors import MammoError
from ml_tasks.model import checkpoint
from ml_tasks.run_paths import RunPaths
from tests.builders import toy_network
from tests.waiting import PATIENCE

WRITER = (checkpoint.__file__, storage.__file__)


@dataclass(frozen=True)
class End:
    """How an attempt is ended. All empty: not at all."""

    save: int = 0  # in the so-many-th save of the attempt …
    line: int = 0  # … before this line of the checkpoint's writer, counted as they are executed
    after: str = ""  # or once its log holds a line that begins so …
    seconds: float = 0.0  # … and this much later
    by: str = "SIGKILL"


@dataclass(frozen=True)
class Attempt:
    """What an attempt logged, its exit status, and how many lines its last save executed."""

    end: End
    lines: list[str]
    status: int  # negative: the signal that killed it
    writer_lines: int = 0


def attempt(config: Config, run: RunPaths, end: End = End()) -> Attempt:
    """Trains in a fork until it is complete or ended."""
    log_file = config.paths.runs.parent / "attempt.log"
    log_file.write_text("")
    child = os.fork()
    if not child:
        _train_and_leave(config, run, end, log_file)
    status = _waited(child, None if not end.after else _seen(child, end, log_file))
    lines = log_file.read_text().splitlines()
    counted = [int(line.split()[-1]) for line in lines if line.startswith("writer lines")]
    return Attempt(end, lines, status, counted[-1] if counted else 0)


def _seen(child: int, end: End, log_file: Path) -> str:
    """Waits for the line, or the child's end; gives the signal to send."""
    while not any(line.startswith(end.after) for line in log_file.read_text().splitlines()):
        time.sleep(0.005)
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
    time.sleep(end.seconds)
    return end.by


def _waited(child: int, by: str | None) -> int:
    """Sends the signal and waits for the end, which after SIGTERM must come by itself."""
    if by:
        os.kill(child, getattr(signal, by))
    deadline = time.monotonic() + PATIENCE
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if by == "SIGTERM" and time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)


def _train_and_leave(config: Config, run: RunPaths, end: End, log_file: Path) -> None:
    """Never returns: the fork must not run its parent's code."""
    stream = log_file.open("w", buffering=1)
    logger = logging.getLogger("ml_tasks")
    logger.addHandler(logging.StreamHandler(stream))
    logger.setLevel(logging.INFO)
    status = 1
    try:
        stage.build_network = toy_network  # type: ignore[attr-defined]
        with _killed_in_the_writer(end, stream.write):
            stage.train(run, config)
        status = 0
    except MammoError as error:
        status = error.exit_status
        stream.write(f"{type(error).__name__}: {error}\n")
    finally:
        logging.shutdown()
        os._exit(status)


@contextmanager
def _killed_in_the_writer(end: End, say: Callable[[str], Any]) -> Iterator[None]:
    """Counts the lines of the writer's files that each save executes; kills where `end` says."""
    original = checkpoint.CheckpointStore.save
    saves = lines = 0

    def tracer(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in WRITER:
            return None
        if event == "line":
            lines += 1
            if (saves, lines) == (end.save, end.line):
                os.kill(os.getpid(), signal.SIGKILL)
        return tracer

    def save(store: checkpoint.CheckpointStore, what: checkpoint.Checkpoint) -> None:
        nonlocal saves, lines
        saves, lines = saves + 1, 0
        sys.settrace(tracer)
        try:
            original(store, what)
        finally:
            sys.settrace(None)
            say(f"writer lines {lines}\n")
        if saves == end.save and lines < end.line:  # a save of fewer lines: right after it, then
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.CheckpointStore.save = save  # type: ignore[assignment,method-assign]
    yield


def kill_again_and_again(config: Config, cleaned: Path, kills: int, shift: float) -> list[Attempt]:
    """One training without interruption, then one that is killed `kills` times before it ends.

    Four of five kills hit a line of the writer, spread over all of its lines, the first `shift` of
    their distance later; the rest hit any moment.
    """
    chance = random.Random(kills)
    whole = attempt(config, RunPaths(config.paths.runs, "whole", cleaned))
    broken = RunPaths(config.paths.runs, "broken", cleaned)
    attempts = [whole]
    inside = kills - kills // 5
    for number in range(kills):
        if number < inside:
            line = 1 + int((number + shift) * whole.writer_lines / inside)
            end = End(save=1 + number % 2, line=line)
        else:
            end = End(after="epoch ", seconds=chance.uniform(0, 0.5))
        attempts.append(attempt(config, broken, end))
    return [*attempts, attempt(config, broken)]


def stopped_at(config: Config, cleaned: Path, lines: list[str]) -> list[Attempt]:
    """Attempts that get SIGTERM once they have logged such a line, and one that may end."""
    run = RunPaths(config.paths.runs, "stopped", cleaned)
    return [attempt(config, run, End(after=line, by="SIGTERM")) for line in lines] + [
        attempt(config, run)
    ]


def main(orders_file: Path) -> None:
    """Carries out each order by its name; leaves the attempts in attempts.json beside them."""
    done: dict[str, list[Attempt]] = {}
    for name, order in json.loads(orders_file.read_text()).items():
        config, cleaned = load_config(Path(order["config"])), Path(order["cleaned"])
        if "kills" in order:
            done[name] = kill_again_and_again(config, cleaned, order["kills"], order["shift"])
        else:
            done[name] = stopped_at(config, cleaned, order["stop_at"])
    found = {name: [asdict(each) for each in attempts] for name, attempts in done.items()}
    (orders_file.parent / "attempts.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
