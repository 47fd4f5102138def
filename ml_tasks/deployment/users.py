"""`user`: who may log in to the stack's Airflow, and as what."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ml_tasks.errors import StackError

ROLES = ("viewer", "operator", "admin")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SERVICE = "api-server"
_WORDS = 20  # random bytes of a password: nobody needs to remember it before the first login


class Stack(Protocol):
    """What runs a command in a service and gives what it prints."""

    def exec(self, service: str, command: Sequence[str], data: bytes | None = None) -> str: ...


@dataclass(frozen=True)
class UserRequest:
    """What is asked of one account; nothing of any: list them all."""

    name: str = ""
    role: str | None = None
    reset: bool = False
    remove: bool = False

    def __post_init__(self) -> None:
        asked = [self.role is not None, self.reset, self.remove]
        if self.name and sum(asked) != 1:
            raise StackError(
                f"say one thing about {self.name!r}: "
                "--role viewer, operator or admin (a new account, or another role), "
                "--reset (another password) or --remove"
            )
        if any(asked) and not self.name:
            raise StackError("say whose account: user NAME --role viewer")
        if self.name and not _NAME.fullmatch(self.name):
            raise StackError(
                f"{self.name!r} is no name for a login: take letters, digits, dots, dashes"
            )


def user(stack: Stack, asked: UserRequest, say: Callable[[str], None]) -> None:
    """Does what is asked; a password that it makes is said once and kept nowhere.

    Raises:
        StackError: Airflow does not run, or refuses: the account is there, or is not.
    """
    if not asked.name:
        for line in table(_accounts(stack)):
            say(line)
    elif asked.remove:
        _told(stack, "remove", asked.name)
        say(f"{asked.name} is removed; whoever is logged in as {asked.name} is out in a minute")
    elif asked.reset:
        say(_with_password(stack, "reset", asked.name))
    elif asked.name in {account["name"] for account in _accounts(stack)}:
        _told(stack, "role", asked.name, str(asked.role))
        say(f"{asked.name} is now {asked.role}; the password is as it was")
    else:
        say(_with_password(stack, "add", asked.name, str(asked.role)))


def table(accounts: Sequence[dict[str, object]]) -> list[str]:
    """Names, roles and last logins in columns."""
    rows = [("NAME", "ROLE", "LAST LOGIN (UTC)")]
    for account in accounts:
        roles = account["roles"] if isinstance(account["roles"], list) else []
        last = account["last_login"] or "never"
        state = "" if account["active"] else " (switched off)"
        rows.append((str(account["name"]), ", ".join(roles) or "none", f"{last}{state}"))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return [f"{a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in rows]


def _with_password(stack: Stack, verb: str, name: str, *rest: str) -> str:
    password = secrets.token_urlsafe(_WORDS)
    _told(stack, verb, name, *rest, data=f"{password}\n".encode())
    return f"{name} logs in with the password {password}   (said once; --reset makes another)"


def _accounts(stack: Stack) -> list[dict[str, object]]:
    """Every account, as `access.users list` prints them among Airflow's own lines."""
    lines = _told(stack, "list").splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"name":')]


def _told(stack: Stack, *words: str, data: bytes | None = None) -> str:
    return stack.exec(SERVICE, ["python3", "-m", "access.users", *words], data)
