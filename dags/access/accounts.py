"""The roles and the people in Airflow's database, as FAB's security manager keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from access.rights import ROLES, rights

ADMIN = "admin"
_SPOKEN = {role: word for word, role in ROLES.items()}


class AccountRefused(Exception):
    """What was asked cannot be done to this account; the text says what to do."""


@dataclass(frozen=True)
class Account:
    """A person's login, its roles as people say them."""

    name: str
    roles: tuple[str, ...]
    active: bool
    last_login: str | None


@contextmanager
def accounts() -> Iterator[Accounts]:
    """The accounts of the database that Airflow's settings name."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded

    providers_configuration_loaded(lambda: None)()
    with get_application_builder() as builder:
        yield Accounts(builder.sm)


class Accounts:
    """Adds, changes and removes; every method may be called again with the same outcome."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def set_roles(self) -> None:
        """Gives each role exactly its rights."""
        manager = self._manager
        for name, wanted in rights(frozenset(manager.VIEWER_PERMISSIONS)).items():
            role = manager.find_role(name) or manager.add_role(name)
            held = {(each.action.name, each.resource.name): each for each in role.permissions}
            for right in wanted - held.keys():
                manager.add_permission_to_role(role, manager.create_permission(*right))
            # Airflow itself gives every role of ours the right to open the web page.
            for right in held.keys() - wanted - {("can_read", "Website")}:
                manager.remove_permission_from_role(role, held[right])

    def ensure(self, name: str, role: str, password: str) -> None:
        """This account with this role and this password, made or changed."""
        if self._find(name) is None:
            self.add(name, role, password)
        else:
            self.give_role(name, role)
            if not self._manager.check_password(name, password):
                self.reset(name, password)

    def add(self, name: str, role: str, password: str) -> None:
        """A new account.

        Raises:
            AccountRefused: the name is taken.
        """
        if self._find(name) is not None:
            raise AccountRefused(
                f"{name} is there already: --role changes it, --reset its password"
            )
        # FAB wants an address, one for each: nobody writes to this one.
        self._manager.add_user(name, name, "-", f"{name}@localhost", self._role(role), password)

    def give_role(self, name: str, role: str) -> None:
        """This role and no other."""
        user = self._known(name)
        if name == ADMIN and role != "admin":
            raise AccountRefused(f"{ADMIN} stays an administrator: make another account")
        user.roles = [self._role(role)]
        user.active = True
        self._manager.update_user(user)

    def reset(self, name: str, password: str) -> None:
        """Another password; it also ends this person's sessions."""
        self._manager.reset_password(self._known(name).id, password)

    def remove(self, name: str) -> None:
        """Takes the account away; whoever is logged in with it is out within half a minute."""
        if name == ADMIN:
            raise AccountRefused(f"{ADMIN} would be made again at the next start")
        user = self._known(name)
        self._manager.reset_user_sessions(user)
        user.roles = []
        if not self._manager.del_register_user(user):  # FAB's name for deleting any row
            raise AccountRefused(f"{name} could not be removed: see the log of the api-server")

    def all(self) -> list[Account]:
        """Every account, by name."""
        return sorted(map(_account, self._manager.get_all_users()), key=lambda each: each.name)

    def _find(self, name: str) -> Any:
        return self._manager.find_user(username=name)

    def _known(self, name: str) -> Any:
        user = self._find(name)
        if user is None:
            raise AccountRefused(f"there is no account {name!r}")
        return user

    def _role(self, role: str) -> Any:
        found = self._manager.find_role(ROLES.get(role, role))
        if role not in ROLES or found is None:
            raise AccountRefused(f"{role!r} is no role here: take one of {', '.join(ROLES)}")
        return found


def _account(user: Any) -> Account:
    roles = tuple(sorted(_SPOKEN.get(role.name, role.name) for role in user.roles))
    last = user.last_login
    at = None if last is None else last.isoformat(timespec="minutes")
    return Account(user.username, roles, bool(user.active), at)
