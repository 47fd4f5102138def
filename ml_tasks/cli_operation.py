"""The commands of everyday operation: `mammo batch_scoring`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

from ml_tasks import sequences
from ml_tasks.cli_release import Command, config_here

log = logging.getLogger(__name__)

INCOMPLETE = 3  # the tables stand, but some images have an error in their place


def add_operation_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Adds them by `add(name, function, help)`, which makes the parser of one command."""
    scoring = add("batch_scoring", _batch_scoring, "score a folder by what is in production")
    scoring.add_argument("--folder", type=Path, required=True, help="of images, at any depth")
    scoring.add_argument("--name", help="of the batch; name one again to go on with it")
    scoring.add_argument("--output", type=Path, help="for all batches, instead of paths.scoring")


def _batch_scoring(chosen: argparse.Namespace) -> int:
    from ml_tasks.batch_scoring import score_folder

    config = config_here(chosen)
    if chosen.output is not None:
        paths = config.paths.model_copy(update={"scoring": chosen.output.absolute()})
        config = config.model_copy(update={"paths": paths})
    name = chosen.name or sequences.new_run_id("batch").replace(".", "-")
    if chosen.name is None:
        log.info("batch %s; if it is stopped, --name %s goes on with it", name, name)
    summary = score_folder(config, chosen.folder.absolute(), name)
    return INCOMPLETE if summary.failed else 0
