"""The commands of everyday operation: new data, batches, drift, what may go."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ml_tasks import sequences
from ml_tasks.cli_release import Command, config_here
from ml_tasks.config import load_config, parse_settings
from ml_tasks.config_release import registry_of_this_place

log = logging.getLogger(__name__)

INCOMPLETE = 3  # the tables stand, but some images have an error in their place


def add_operation_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Adds them by `add(name, function, help)`, which makes the parser of one command."""
    new = add("announce", _announce, "lists new data exactly, for a run that uses these alone")
    new.add_argument("--data", type=Path, help="the folder; else paths.raw, if _READY is in it")
    tidy = add("housekeeping", _housekeeping, "old runs, images and logs; removes them with --yes")
    tidy.add_argument("--yes", action="store_true", help="remove what may go")
    tidy.add_argument("--logs", type=Path, metavar="DIR", help="Airflow's logs (base_log_folder)")
    tidy.add_argument("--json", action="store_true", help="for programs")
    scoring = add("batch_scoring", _batch_scoring, "score a folder by what is in production")
    scoring.add_argument("--folder", type=Path, required=True, help="of images, at any depth")
    scoring.add_argument("--name", help="of the batch; name one again to go on with it")
    scoring.add_argument("--output", type=Path, help="for all batches, instead of paths.scoring")
    drift = add("watch_drift", _watch_drift, "the service's images against those of the training")
    drift.add_argument("--days", type=float, metavar="N", help="drift.window_days for once")
    drift.add_argument("--suggest", action="store_true", help="note in the audit log what follows")
    doctor = add("doctor", _doctor, "what must be mended on this machine before a run, and how")
    doctor.add_argument("--json", action="store_true", help="for programs")


def _announce(chosen: argparse.Namespace) -> int:
    from ml_tasks.announce import announce

    made = announce(load_config(chosen.config, parse_settings(chosen.set)), chosen.data)
    sys.stdout.write(
        f"{json.dumps(made.extra(), indent=2)}\n\nWith Airflow: the extra of an event of the asset "
        "mammography_new_data. Without:\n"
        f"mammo run --set paths.raw='{made.data_dir}' --set data.snapshot='{made.snapshot}'\n"
    )
    return 0


def _housekeeping(chosen: argparse.Namespace) -> int:
    from ml_tasks.housekeeping import tidy_images, tidy_logs, tidy_runs
    from ml_tasks.release.audit import person_here

    config, who = config_here(chosen), person_here()
    yes = chosen.yes or config.housekeeping.remove
    found = (
        tidy_runs(config, yes, who),
        tidy_images(config, yes, who),
        tidy_logs(config, yes, chosen.logs, who),
    )
    for each in found:
        line = each.model_dump_json() if chosen.json else each.summary()
        sys.stdout.write(f"{line}\n")
    return 0


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


def _watch_drift(chosen: argparse.Namespace) -> int:
    from ml_tasks.watch_drift import suggest

    settings = registry_of_this_place(os.environ) | parse_settings(chosen.set)
    # Only the DAG can start a retraining: by an event of Airflow.
    settings["drift.retrain"] = False
    if chosen.days is not None:
        settings["drift.window_days"] = chosen.days
    run_id = sequences.new_run_id("drift")
    report = sequences.watch_drift(chosen.config, settings, datetime.now(UTC), run_id)
    config = load_config(chosen.config, settings)
    if chosen.suggest:
        suggest(config, report.day)
    sys.stdout.write(f"{report.summary()}\nreport: {config.paths.drift / report.day}\n")
    return 0


def _doctor(chosen: argparse.Namespace) -> int:
    from ml_tasks.doctor.examination import examine, place_here
    from ml_tasks.doctor.findings import State, table

    findings = examine(place_here(chosen.config, parse_settings(chosen.set), os.environ))
    listed = [finding.model_dump(mode="json") for finding in findings]
    sys.stdout.write(f"{json.dumps(listed, indent=2)}\n" if chosen.json else table(findings))
    return int(any(finding.state is State.MEND for finding in findings))
