"""Which run `python -m ml_tasks.train` is in, so that the next call can go on with it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from ml_tasks.errors import RunBusy
from ml_tasks.model.checkpoint import CheckpointStore, differences
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import write_json

log = logging.getLogger(__name__)

POINTER = "unfinished-train.json"  # in the folder of the runs


def note_unfinished(run: RunPaths, made_for: Mapping[str, str]) -> Path:
    """Writes down that `run` is under way and what its training hangs on; gives the note's path.

    Raises:
        StorageError: it cannot be written.
    """
    pointer = run.runs / POINTER
    write_json(pointer, {"run_id": run.run_id, "made_for": dict(made_for)})
    return pointer


def unfinished_run(
    runs: Path, made_for: Mapping[str, str], opened: Callable[[str], RunPaths]
) -> RunPaths | None:
    """The noted run, if its training hangs on the same and no other process is at it.

    Where something changed, what changed is logged and its checkpoint removed.
    """
    pointer = runs / POINTER
    if not pointer.exists():
        return None
    note = json.loads(pointer.read_text())
    run = opened(note["run_id"])
    changed = differences(made_for, note["made_for"])
    store = CheckpointStore(run.checkpoint, made_for)
    try:
        with store.owned():  # else it is not unfinished, but at work
            if not changed:
                log.info("going on with run %s, which was interrupted", run.run_id)
                return run
            store.remove()
    except RunBusy:
        return None
    log.info(
        "a new run begins: since the interrupted run %s there changed %s",
        run.run_id,
        ", ".join(changed),
    )
    return None
