"""The commands for what was shipped: `mammo releases`, `rollback`, `deploy_service` and so on."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from ml_tasks.config import Config, load_config, parse_settings
from ml_tasks.config_release import registry_of_this_place
from ml_tasks.errors import ConfigError, EngineUnavailable
from ml_tasks.release.audit import person_here

log = logging.getLogger(__name__)

Command = Callable[[argparse.Namespace], int]


def add_release_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Adds them by `add(name, function, help)`, which makes the parser of one command."""
    listing = add("releases", _releases, "what was shipped, what serves, what does not agree")
    listing.add_argument("--json", action="store_true", help="for programs")
    back = add("rollback", _rollback, "production goes back to a release that was shipped before")
    back.add_argument("version", nargs="?", help="if not given: what stood before what serves")
    back.add_argument("--reason", default="", metavar="TEXT", help="why; kept in the ledger")
    back.add_argument("--tested", action="store_true", help="smoke-test it first, as the page does")
    prune = add("prune", _prune, "old releases' images, which may go; removes them with --yes")
    prune.add_argument("--keep", type=_count, required=True, metavar="N", help="newest that stay")
    prune.add_argument("--yes", action="store_true", help="remove them")
    prune.add_argument("--bundles", action="store_true", help="their sealed bundles, too")
    audit = add("audit", _audit, "who decided and did what, and whether the log of it is whole")
    audit.add_argument("--json", action="store_true", help="for programs")
    add("deploy_service", _deploy_service, "the stack's service runs what production names")
    audit.add_argument("--complete", action="store_true", help="note the moves that it lacks")


def _releases(chosen: argparse.Namespace) -> int:
    from ml_tasks.release.releases import list_releases

    found = list_releases(config_here(chosen))
    sys.stdout.write(f"{found.model_dump_json(indent=2)}\n" if chosen.json else found.table())
    return 1 if found.problems else 0


def _rollback(chosen: argparse.Namespace) -> int:
    from ml_tasks.release.rollback import roll_back
    from ml_tasks.tracking.process import register_meanwhile

    config = config_here(chosen)
    digest = _tested(config, chosen.version) if chosen.tested else None
    move = roll_back(config, chosen.version, chosen.reason, who=person_here(), digest=digest)
    sys.stdout.write(f"production serves {move.version} ({move.digest})\n")
    sys.stdout.flush()
    if config.tracking.enabled:
        register_meanwhile(config)
    return 0


def _audit(chosen: argparse.Namespace) -> int:
    from ml_tasks.release.audit_check import check_audit
    from ml_tasks.release.audited_moves import note_missing

    config = config_here(chosen)
    if chosen.complete:
        for move in note_missing(config.paths.releases):
            log.info("noted the move to %s at %s", move.version, move.moved_at)
    found = check_audit(config)
    sys.stdout.write(f"{found.model_dump_json(indent=2)}\n" if chosen.json else found.table())
    return 1 if found.problems else 0


def _deploy_service(chosen: argparse.Namespace) -> int:
    from ml_tasks.deploy_service import deploy_service

    sys.stdout.write(f"{deploy_service(config_here(chosen)).summary()}\n")
    return 0


def _tested(config: Config, version: str | None) -> str:
    """The digest of a release whose image answers as it should."""
    from ml_tasks.rollback import retest

    if version is None:
        raise ConfigError("--tested wants the version that is to be tested: mammo releases")
    return retest(config, version).digest


def _prune(chosen: argparse.Namespace) -> int:
    from ml_tasks.release.engine import connect
    from ml_tasks.release.retention import prune

    client: Any = None
    try:
        client = connect() if chosen.yes else None
    except EngineUnavailable as error:
        log.warning("images stay in the engine: %s", error)
    try:
        judged = prune(config_here(chosen), chosen.keep, client, chosen.yes, chosen.bundles)
    finally:
        if client is not None:
            client.close()
    gone = "removed" if chosen.yes else "may go"
    for each in judged:
        state = f"stays: {each.stays}" if each.stays else gone
        sys.stdout.write(
            f"{each.version:<31}{each.digest.removeprefix('sha256:')[:14]:<16}{state}\n"
        )
    if not chosen.yes:
        sys.stdout.write("nothing was removed; --yes removes the images that may go\n")
    return 0


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one release stays")
    return number


def config_here(chosen: argparse.Namespace) -> Config:
    """The settings, with the registry as this place reaches it, as the tasks of the DAG know it."""
    here = registry_of_this_place(os.environ)
    return load_config(chosen.config, here | parse_settings(chosen.set))
