"""`python3 -m ml_tasks.deployment <verb>`: needs Python and docker compose, nothing installed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_tasks.deployment import stack, users
from ml_tasks.deployment.backup import back_up
from ml_tasks.deployment.bundle import make_bundle
from ml_tasks.deployment.install_bundle import install_bundle
from ml_tasks.deployment.restore import restore
from ml_tasks.errors import MammoError

PROJECT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; gives its exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        chosen.verb(chosen)
    except MammoError as error:
        sys.stderr.write(f"\n{type(error).__name__}: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    return 0


def say(text: str) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m ml_tasks.deployment")
    verbs = parser.add_subparsers(required=True, metavar="verb")

    def add(name: str, verb: Callable[[argparse.Namespace], None], words: str) -> Any:
        command = verbs.add_parser(name, help=words, description=words)
        command.add_argument("--project", type=Path, default=PROJECT, help="the checkout")
        command.set_defaults(verb=verb)
        return command

    add("up", lambda c: stack.up(c.project, say), "make what is missing and start the stack")
    add("down", lambda c: stack.down(c.project, say), "end the stack; its data stay")
    logs = add("logs", lambda c: stack.logs(c.project, c.services), "follow the logs")
    logs.add_argument("services", nargs="*", help="of these services only")
    scale = add(
        "scale", lambda c: stack.scale(c.project, c.workers, c.gpu, say), "how many workers"
    )
    scale.add_argument("--workers", type=int, help="of the queue default")
    scale.add_argument("--gpu", type=int, help="of the queue gpu")
    user = add("user", _user, "who may log in to Airflow; without a name, lists them")
    user.add_argument("name", nargs="?", default="", help="of the login")
    user.add_argument("--role", choices=users.ROLES, help="a new account, or another role")
    user.add_argument("--reset", action="store_true", help="another password")
    user.add_argument("--remove", action="store_true", help="takes the account away")
    _add_keeping(add)
    return parser


def _user(chosen: argparse.Namespace) -> None:
    asked = users.UserRequest(chosen.name, chosen.role, chosen.reset, chosen.remove)
    users.user(stack.stack(chosen.project), asked, say)


def _add_keeping(add: Callable[..., Any]) -> None:
    """What keeps the stack, and what carries it to another machine."""
    keep = add(
        "backup", lambda c: back_up(c.project, c.folder, say, c.runs), "all of it in one archive"
    )
    keep.add_argument("folder", type=Path, help="where the archive shall lie")
    keep.add_argument("--runs", action="store_true", help="with all runs, and Airflow's task logs")
    again = add(
        "restore",
        lambda c: restore(c.project, c.archive, say, c.replace, c.paused),
        "from such an archive",
    )
    again.add_argument("archive", type=Path)
    again.add_argument("--replace", action="store_true", help="after a backup of what is here")
    again.add_argument("--paused", action="store_true", help="for a trial: no DAG goes on")
    carry = add("bundle", lambda c: make_bundle(c.project, c.file, say), "for a machine offline")
    carry.add_argument("file", type=Path, help="the archive that is to be made")
    install = add(
        "install-bundle", lambda c: install_bundle(c.project, c.file, say), "and there, the stack"
    )
    install.add_argument("file", type=Path)


if __name__ == "__main__":
    sys.exit(main())
