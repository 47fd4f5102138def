"""paths.model: the model that passed the gate last, and the run that it came from."""

from __future__ import annotations

import json
import logging
import shutil

from ml_tasks.config import Config
from ml_tasks.errors import ReleaseError
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import replaced_directory, storage_errors, write_json

log = logging.getLogger(__name__)

CURRENT = "run.json"  # beside model.h5


def publish(run: RunPaths, config: Config) -> None:
    """Puts model.h5 and classes.json into paths.model in one step, with the run they came from.

    Raises:
        StorageError: no space left, or the folder holds what this package did not write.
    """
    target = config.paths.model
    with replaced_directory(target, owned=lambda path: (path / CURRENT).exists()) as work:
        with storage_errors(target):
            for name in ("model.h5", "classes.json"):
                shutil.copyfile(run.stage("train") / name, work / name)
        write_json(work / CURRENT, {"run_id": run.run_id})
    log.info("saved %s and classes.json", target / "model.h5")


def published_run(config: Config) -> str:
    """The id of the run whose model lies in paths.model.

    Raises:
        ReleaseError: nothing has passed the gate yet.
    """
    pointer = config.paths.model / CURRENT
    if not pointer.exists():
        raise ReleaseError(
            f"{config.paths.model} holds no model that passed the gate; run "
            "`python -m ml_tasks.train --config config.yaml` first, or name a run with --run"
        )
    return str(json.loads(pointer.read_text())["run_id"])
