"""Whether a restored stack is whole: asked of the files, and of the stack's own commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ml_tasks.deployment.backup import RELEASES, last_move
from ml_tasks.deployment.compose import Compose
from ml_tasks.deployment.say import Say
from ml_tasks.deployment.stack import CONFIG
from ml_tasks.errors import StackError
from ml_tasks.release.bundle import verify


def check(compose: Compose, production: Mapping[str, str] | None, say: Say) -> None:
    """Says what was found to be right.

    Raises:
        ReleaseError: a release is not as it was sealed.
        StackError: the audit log, the registry or the signed statement do not agree with it, or
            what is in production does not serve.
    """
    releases = Path(compose.settings["MAMMO_SHARED"]) / RELEASES
    sealed = sorted(releases.glob("[!.]*/bundle"))
    for bundle in sealed:
        verify(bundle)
    say(f"{len(sealed)} release(s): every file is as its SHA256SUMS says")
    compose.exec("worker", ["mammo", "audit", *CONFIG])
    say("the audit log is whole and agrees with the ledger")
    _production(compose, releases, production, say)


def _production(compose: Compose, releases: Path, then: Mapping[str, str] | None, say: Say) -> None:
    if last_move(releases) != then:
        raise StackError(f"the ledger ends in {last_move(releases)}, the backup was made at {then}")
    if then is None:
        say("nothing was ever in production")
        return
    found = json.loads(compose.exec("worker", ["mammo", "releases", "--json", *CONFIG]))
    if found["production"] != then["digest"]:
        raise StackError(
            f"the registry says that {found['production']} is in production, the ledger says "
            f"{then['digest']}"
        )
    say(f"production is {then['version']} ({then['digest']}), by registry and ledger")
    image = f"{found['repository']}:production"
    told = compose.exec("builder", ["mammo", "verify", image, *CONFIG])
    say(told.strip().splitlines()[-1])
    try:
        compose.exec("builder", ["mammo", "deploy_service", *CONFIG])
    except StackError as error:
        raise StackError(
            f"everything is back, but the inference service does not serve {then['version']}; mend "
            f"what follows, then: make up\n{error}"
        ) from error
