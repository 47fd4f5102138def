"""The login for an image registry: of the environment, Docker's configuration, or ~/.netrc."""

from __future__ import annotations

import base64
import logging
import netrc
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_tasks.errors import RegistryRefused

log = logging.getLogger(__name__)

USER, PASSWORD = "MAMMO_REGISTRY_USER", "MAMMO_REGISTRY_PASSWORD"


@dataclass(frozen=True)
class Login:
    """User and password, or an identity token in their place; `source` says where it was found."""

    source: str
    user: str = ""
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return f"Basic {self._encoded}"

    @property
    def _encoded(self) -> str:
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def for_engine(self) -> dict[str, str]:
        """What the Docker engine is handed for one push."""
        if self.identity:
            return {"identitytoken": self.identity}
        return {"username": self.user, "password": self.password}

    def masked(self, text: str) -> str:
        """The text for logs and errors: whatever a registry answers, no secret stands in it."""
        for secret in (self.password, self.identity, self._encoded if self.password else ""):
            if secret:
                text = text.replace(secret, "***")
        return text


def find_login(
    registry: str, machine: str, environment: Mapping[str, str] = os.environ
) -> Login | None:
    """The login for `registry` (host, as `docker login` was told); `machine` is its name in netrc.

    The environment wins, then Docker's configuration (DOCKER_CONFIG, else ~/.docker/config.json,
    with its credential helpers), then ~/.netrc; None where none of them knows one.

    Raises:
        RegistryRefused: only one half is set, or Docker's configuration cannot be used.
    """
    user, password = environment.get(USER, ""), environment.get(PASSWORD, "")
    if bool(user) != bool(password):
        raise RegistryRefused(f"only one of {USER} and {PASSWORD} is set; set both or none")
    if user:
        return Login(f"of {USER}", user, password)
    return _of_docker(registry) or _of_netrc(machine)


def _of_docker(registry: str) -> Login | None:
    try:
        from docker import auth
        from docker.credentials.errors import StoreError
        from docker.errors import DockerException
    except ImportError:  # a worker without the Docker SDK: environment and netrc remain
        return None
    try:
        found: dict[str, Any] = auth.load_config().resolve_authconfig(registry) or {}
    except (DockerException, StoreError, OSError, ValueError) as error:
        # Not its text: a helper's output may hold what it was asked for.
        raise RegistryRefused(
            f"Docker's configuration gives no login for {registry} ({type(error).__name__}); run "
            f"`docker login {registry}` as this user, or set {USER} and {PASSWORD}"
        ) from None
    # A helper's answer is spelled in capitals, a line of config.json is not.
    given = {name.lower(): value for name, value in found.items()}
    if given.get("identitytoken"):
        return Login("of Docker's configuration", identity=str(given["identitytoken"]))
    if not given.get("username"):
        return None
    return Login("of Docker's configuration", str(given["username"]), str(given["password"]))


def _of_netrc(machine: str) -> Login | None:
    try:
        found = netrc.netrc().authenticators(machine)
    except (OSError, netrc.NetrcParseError):  # there is no such file, or nothing of use in it
        return None
    return Login("of ~/.netrc", found[0], found[2]) if found and found[2] else None
