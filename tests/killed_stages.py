"""Stages killed at their n-th change to the disk, run again and compared: `-m tests.killed_stages`.

A process of its own, since its children are forked: all is imported once, so that every kill falls
into the stage and none into its start. SIGKILL leaves no time to tidy up.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from ml_tasks.config import CleaningConfig, Config
from ml_tasks.dataset.examine_files import Examiner, examine_file, examine_files
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.preprocessing import assemble_cleaned, clean_shard, plan_cleaning, preprocess
from ml_tasks.release.champion import note_champion
from ml_tasks.run_paths import RunPaths
from ml_tasks.validation import validate_data
from tests.builders import NO_CHAMPION, toy_config, write_raw

SHARDS = 3
_CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "shutil.copyfile")
_WRITES = os.O_WRONLY | os.O_RDWR
# They tell when they were made, or hold names by chance.
_DATED = ("validate_data/record.json", "validate_data/report.html", "validate_data/data_docs/")

Action = Callable[[RunPaths, Config], object]


@dataclass
class Outcome:
    """What the kills did: how many of them fell into each stage, and what went wrong."""

    kills: int = 0
    landed: dict[str, int] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)  # to the disk, by an uninterrupted stage
    problems: list[str] = field(default_factory=list)


class Rehearsal:
    """A folder of raw films that stays, and everything else as it stood before a stage."""

    def __init__(self, folder: Path) -> None:
        self.root, self.kept = folder / "state", folder / "kept"
        made = toy_config(self.root, cleaning=CleaningConfig(shards=SHARDS))
        raw = write_raw(folder / "raw")
        for file in raw.rglob("*"):
            os.utime(file, (1_700_000_000, 1_700_000_000))
        time.sleep(2.1)  # a file that was touched just now would be read again each time
        self.config = made.model_copy(
            update={"paths": made.paths.model_copy(update={"raw": folder / "raw"})}
        )
        self.run = RunPaths(self.config.paths.runs, "killed")
        note_champion(self.run, NO_CHAMPION)

    def keep(self) -> None:
        """Notes the present state as the one to go back to."""
        shutil.rmtree(self.kept, ignore_errors=True)
        shutil.copytree(self.root, self.kept, symlinks=True)

    def go_back(self) -> None:
        """Puts the noted state in place again."""
        shutil.rmtree(self.root)
        shutil.copytree(self.kept, self.root, symlinks=True)

    def content(self) -> dict[str, bytes]:
        """Every file by its path, but those that tell the time.

        Nor what a killed process left of an entry of the cache: no name of its kind is ever read.
        """
        cache = self.config.paths.cache
        files = {
            path.relative_to(self.root).as_posix(): path
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not (path.is_relative_to(cache) and path.suffix == ".tmp")
        }
        run = self.run.root.relative_to(self.root).as_posix()
        dated = tuple(f"{run}/{name}" for name in _DATED)
        return {
            name: path.read_bytes() for name, path in files.items() if not name.startswith(dated)
        }

    def forked(self, action: Action, at: int = 0) -> tuple[int, int, str]:
        """Runs an action in a child that dies before its change number `at`; 0: never.

        Gives the child's exit status (as of `waitpid`), its changes, and what it raised.
        """
        inbox, outbox = os.pipe()
        child = os.fork()
        if not child:
            os.close(inbox)
            os._exit(_child(action, self, at, outbox))
        os.close(outbox)
        with os.fdopen(inbox, "rb") as stream:
            told = stream.read().decode()
        status = os.waitpid(child, 0)[1]
        changes, _, error = told.partition(" ")
        return status, int(changes or 0), error


def _child(action: Action, rehearsal: Rehearsal, at: int, outbox: int) -> int:
    me, changes, root = os.getpid(), 0, str(rehearsal.root)

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal changes
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
        if not (writes or event in _CHANGES) or not str(arguments[0]).startswith(root):
            return
        if os.getpid() == me:
            changes += 1
            if changes == at:
                os.kill(me, signal.SIGKILL)

    sys.addaudithook(count)
    try:
        action(rehearsal.run, rehearsal.config)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
        os.write(outbox, f"{changes} {type(error).__name__}: {error}".encode())
        return 1
    os.write(outbox, str(changes).encode())
    return 0


def _examiner(config: Config) -> Examiner:
    spec = ImageSpec(max_megapixels=config.data.max_megapixels)
    return Examiner.of_this_place(spec, config.paths.cache, 2)


def read_films(run: RunPaths, config: Config) -> None:
    """What a worker of validate_data does: reads every film, keeps what it finds."""
    cv2.setNumThreads(1)
    examiner = _examiner(config)
    for file in sorted(config.paths.raw.rglob("*.png")):
        examine_file(file, examiner, examiner.open_cache())


def _look_at_all(run: RunPaths, config: Config) -> None:
    """As `read_films`, by workers, with a note of each file's time."""
    examine_files(config.paths.raw, sorted(config.paths.raw.rglob("*.png")), _examiner(config))


def clean_shards(run: RunPaths, config: Config) -> None:
    """All shards, one after the other."""
    for shard in range(SHARDS):
        clean_shard(run, config, shard)


STAGES: dict[str, Action] = {
    "reading": read_films,
    "validate_data": validate_data,
    "plan_cleaning": plan_cleaning,
    "clean_shard": clean_shards,
    "assemble_cleaned": assemble_cleaned,
    "assemble_cleaned over an old set": assemble_cleaned,
}


def rehearse(folder: Path, kills: int) -> Outcome:
    """Kills each stage at changes drawn at random, `kills` in all, and runs it again each time."""
    rehearsal, outcome = Rehearsal(folder), Outcome()
    for number, (name, action) in enumerate(STAGES.items()):
        if name == "validate_data":
            # Read by workers once, so that this process, which is forked, starts none itself; and
            # run here once, so that no child imports anything.
            rehearsal.forked(_look_at_all)
            rehearsal.keep()
            validate_data(rehearsal.run, rehearsal.config)
            preprocess(rehearsal.run, rehearsal.config)
            rehearsal.go_back()
        rehearsal.keep()
        status, changes, error = rehearsal.forked(action)
        if status:
            raise RuntimeError(f"{name} failed without a kill: {error}")
        expected = rehearsal.content()
        outcome.changes[name], outcome.landed[name] = changes, 0
        share = kills // len(STAGES) + (number < kills % len(STAGES))
        for at in sorted(random.Random(name).sample(range(1, changes + 1), min(share, changes))):
            outcome.kills += 1
            _kill(rehearsal, name, at, expected, outcome)
    return outcome


def _kill(
    rehearsal: Rehearsal, name: str, at: int, expected: dict[str, bytes], outcome: Outcome
) -> None:
    rehearsal.go_back()
    status, _, _ = rehearsal.forked(STAGES[name], at)
    outcome.landed[name] += status == signal.SIGKILL
    status, _, error = rehearsal.forked(STAGES[name])
    found = rehearsal.content()
    if status:
        outcome.problems.append(f"{name}, killed at change {at}: run again, it failed: {error}")
    elif found != expected:
        names = [path for path in found | expected if found.get(path) != expected.get(path)]
        outcome.problems.append(f"{name}, killed at change {at}: other files: {names[:5]}")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vars(rehearse(Path(sys.argv[1]), int(sys.argv[2])))) + "\n")
