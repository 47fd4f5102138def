"""`python -m access.users VERB NAME …`: the accounts of the stack, from within it.

What `make user` calls. Passwords come by standard input: a command line is seen by everybody.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from access.accounts import AccountRefused, Accounts, accounts
from access.rights import ROLES


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what is asked; lists accounts as JSON, one a line."""
    asked = _parser().parse_args(arguments)
    try:
        with accounts() as kept:
            _do(kept, asked)
    except AccountRefused as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    return 0


def _do(kept: Accounts, asked: argparse.Namespace) -> None:
    if asked.verb == "list":
        for account in kept.all():
            sys.stdout.write(json.dumps(asdict(account)) + "\n")
    elif asked.verb == "add":
        kept.add(asked.name, asked.role, _password())
    elif asked.verb == "role":
        kept.give_role(asked.name, asked.role)
    elif asked.verb == "reset":
        kept.reset(asked.name, _password())
    elif asked.verb == "remove":
        kept.remove(asked.name)


def _password() -> str:
    password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise AccountRefused("no password came by standard input")
    return password


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="access.users", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list")
    for verb in ("add", "role", "reset", "remove"):
        added = verbs.add_parser(verb)
        added.add_argument("name")
        if verb in ("add", "role"):
            added.add_argument("role", choices=list(ROLES))
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
