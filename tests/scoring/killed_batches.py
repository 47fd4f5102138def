"""Batches killed at their n-th step, run again and compared: `-m tests.scoring.killed_batches`.

A process of its own, since its children are forked: all is imported once, so that every kill falls
into the batch and none into its start. SIGKILL leaves no time to tidy up. A step is an opened film,
or a change to the disk below the folder of the batches.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet  # noqa: F401 - imported before the fork

from ml_tasks.batch_scoring import score_folder
from ml_tasks.config import Config
from tests.scoring.batches import toy_release, write_films

CHUNK, IMAGES = 4, 18
_LAST = 10  # steps that come after the last chunk
_CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree")
_WRITES = os.O_WRONLY | os.O_RDWR
_DATED = ("planned_at", "finished_at", "seconds", "plan_sha256")


@dataclass
class Outcome:
    """How many kills fell into which phase, and what went wrong."""

    steps: int = 0
    landed: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def forked(config: Config, films: Path, at: int = 0) -> tuple[int, int, int, str]:
    """Scores in a child that dies at its step number `at`; 0: never.

    Gives the child's exit status (as of `waitpid`), its steps, the films it opened, and what it
    raised.
    """
    inbox, outbox = os.pipe()
    child = os.fork()
    if not child:
        os.close(inbox)
        os._exit(_child(config, films, at, outbox))
    os.close(outbox)
    with os.fdopen(inbox, "rb") as stream:
        told = stream.read().decode()
    status = os.waitpid(child, 0)[1]
    steps, opened, error = [*told.split(" ", 2), "", ""][:3]
    return status, int(steps), int(opened), error


def _child(config: Config, films: Path, at: int, outbox: int) -> int:
    steps = opened = 0
    scoring, folder = str(config.paths.scoring), f"{films}/"

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps, opened
        path = str(arguments[0]) if arguments else ""
        flags = arguments[2] if event == "open" and isinstance(arguments[2], int) else 0
        film = event == "open" and path.startswith(folder)
        change = path.startswith(scoring) and (flags & _WRITES or event in _CHANGES)
        if not (film or change):
            return
        steps, opened = steps + 1, opened + film
        if steps == at:
            os.write(outbox, f"{steps} {opened} ".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        score_folder(config, films, "batch")
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
        os.write(outbox, f"{steps} {opened} {type(error).__name__}: {error}".encode())
        return 1
    os.write(outbox, f"{steps} {opened} ".encode())
    return 0


def results(config: Config) -> dict[str, bytes]:
    """The finished batch, without the times; nothing else may be left in the folder."""
    left = [path.name for path in config.paths.scoring.iterdir()]
    files = {path.name: path.read_bytes() for path in config.paths.scoring.glob("batch/*")}
    summary = json.loads(files.pop("summary.json"))
    files.pop("summary.html")
    for content in (summary, summary["plan"]):
        for name in _DATED:
            content.pop(name, None)
    return {**files, "summary": json.dumps(summary).encode(), "left": repr(left).encode()}


def phase(config: Config) -> str:
    """What a killed batch had come to."""
    if (config.paths.scoring / "batch").exists():
        return "finished"
    work = config.paths.scoring / ".batch.work"
    if not work.exists():
        return "plan"
    return "assemble" if (work / "finished").exists() else "score"


def rehearse(folder: Path, kills: int) -> Outcome:
    """Kills a batch at steps drawn at random and runs it again, each time from nothing."""
    outcome = Outcome()
    films = write_films(folder / "films", IMAGES).resolve()
    with toy_release(folder / "state", chunk=CHUNK) as toy:
        config = toy.with_scoring(threads=1)
        status, outcome.steps, opened, error = forked(config, films)
        if status or opened != IMAGES:
            raise RuntimeError(f"without a kill: {opened} films opened, {error or 'no error'}")
        expected = results(config)
        for at in _places(outcome.steps, kills):
            shutil.rmtree(config.paths.scoring)
            _kill(config, films, at, expected, outcome)
    return outcome


def _places(steps: int, kills: int) -> list[int]:
    """Half of them evenly before the last steps, which put the tables in place; all if they fit."""
    if kills >= steps:
        return list(range(1, steps + 1))
    late = random.Random(1).sample(range(steps - _LAST, steps + 1), kills // 2)
    early = kills - len(late)
    return sorted([1 + number * (steps - _LAST) // early for number in range(early)] + late)


def _kill(
    config: Config, films: Path, at: int, expected: dict[str, bytes], outcome: Outcome
) -> None:
    status, _, before, error = forked(config, films, at)
    if status != signal.SIGKILL:
        outcome.problems.append(f"step {at}: was not killed: {status} {error}")
    landed = phase(config)
    outcome.landed[landed] = outcome.landed.get(landed, 0) + 1
    status, _, after, error = forked(config, films)
    if status:
        outcome.problems.append(f"step {at}, in {landed}: run again, it failed: {error}")
        return
    if before + after > IMAGES + CHUNK:
        outcome.problems.append(f"step {at}: {before} + {after} films opened for {IMAGES}")
    if (found := results(config)) != expected:
        names = [name for name in found | expected if found.get(name) != expected.get(name)]
        outcome.problems.append(f"step {at}, in {landed}: other results: {names}")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vars(rehearse(Path(sys.argv[1]), int(sys.argv[2])))) + "\n")
