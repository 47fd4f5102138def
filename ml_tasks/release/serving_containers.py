"""The containers in which a stack's release serves, told by their labels and their alias."""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
from docker import DockerClient
from docker.errors import NotFound
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import LogConfig

from ml_tasks.errors import ConfigError, ReleaseError
from ml_tasks.release.confinement import PORT, USER, as_service
from ml_tasks.release.container import RunningImage
from ml_tasks.release.own_container import own_container
from ml_tasks.release.service_place import NETWORK, ServicePlace

log = logging.getLogger(__name__)

ALIAS = "inference-live"  # under which docker/front.conf finds who serves
LABEL = "mammography.service"  # = the network's name: two stacks may share an engine
DIGEST, VERSION, SETTINGS = (f"{LABEL}.{name}" for name in ("digest", "version", "settings"))
_ASK_SECONDS = 5  # a service that is loaded answers /ready in milliseconds
_NAME_SECONDS = 10.0  # until the engine's name server knows a name that it was just given
_LOGS = {"max-size": "10m", "max-file": "3"}
_RESTART: Any = {"Name": "unless-stopped"}


@dataclass(frozen=True)
class Wanted:
    """The release that shall serve, and its image as the engine names it."""

    version: str
    digest: str
    image: str


class ServingContainers:
    """Those of one place, on its engine."""

    def __init__(self, client: DockerClient, place: ServicePlace) -> None:
        self.client, self.place = client, place

    def all(self) -> list[Container]:
        """Every container of this place, in whatever state, the oldest first."""
        mark: dict[str, str | list[str] | bool] = {"label": f"{LABEL}={self.place.network}"}
        # Another process, or a restart policy, may take one away while they are listed.
        found = self.client.containers.list(all=True, filters=mark, ignore_removed=True)
        return sorted(found, key=lambda container: str(container.attrs["Created"]))

    def is_live(self, container: Container) -> bool:
        """Whether it runs and carries the alias."""
        return container.status == "running" and ALIAS in (self._endpoint(container)[1])

    def is_of(self, container: Container, wanted: Wanted) -> bool:
        """Whether it was started for just this release, with the settings of now."""
        labels = container.labels
        told = labels.get(DIGEST), labels.get(VERSION), labels.get(SETTINGS)
        return told == (wanted.digest, wanted.version, self.place.mark)

    def start(self, wanted: Wanted) -> Container:
        """Starts the release beside what serves; nobody is sent to it, and no restart brings it
        back, before `take_on`."""
        self._network()
        stack = self.place.network.removesuffix("_default")
        container = self.client.containers.create(
            wanted.image,
            name=f"{stack}-inference-{wanted.version.lower()}-{uuid4().hex[:6]}",
            user=USER,
            network=self.place.network,
            labels={
                LABEL: self.place.network,
                DIGEST: wanted.digest,
                VERSION: wanted.version,
                SETTINGS: self.place.mark,
            },
            log_config=self._log_config(),
            **as_service(self.place.statistics, self.place.settings),
        )
        try:
            container.start()
        except BaseException:
            container.remove(force=True, v=True)
            raise
        return container

    def wait_until_ready(self, container: Container, version: str, seconds: float) -> float:
        """Waits for /ready to name `version`; gives the seconds it took.

        Raises:
            ReleaseError: it ended, was not ready in time, or is of another version.
        """
        with self._asking(container) as http:
            running = RunningImage(container, http)
            took = running.wait_until_ready(seconds)
            found = str(running.get("/ready").json().get("model_version"))
        if found != version:
            raise ReleaseError(f"{container.name} answers as version {found}, not as {version}")
        return took

    def take_on(self, container: Container) -> None:
        """Gives the alias and the restart policy to a container that is ready.

        The engine gives an alias only to who joins, so it leaves the network for a moment.

        Raises:
            ReleaseError: the name server does not tell the new address.
        """
        container.update(restart_policy=_RESTART)
        network = self._network()
        network.disconnect(container)
        network.connect(container, aliases=[ALIAS])
        container.reload()
        if not self.is_live(container):
            raise ReleaseError(f"{container.name} did not get the name {ALIAS}")
        self._wait_for_name(self._endpoint(container)[0])

    def end(self, container: Container, seconds: float) -> None:
        """Stops a container, which may finish what it is answering, and removes it."""
        try:
            if container.status in ("running", "restarting", "paused"):
                container.stop(timeout=round(seconds))
            container.remove(force=True, v=True)
        except NotFound:
            log.info("%s has gone by itself", container.name)

    def _network(self) -> Network:
        try:
            return self.client.networks.get(self.place.network)
        except NotFound:
            raise ConfigError(
                f"{NETWORK} is {self.place.network!r}, which the Docker engine does not know; set "
                "it to the network of the stack's own containers (docker network ls)"
            ) from None

    def _log_config(self) -> LogConfig | None:
        """Limits what Docker's own log files take; another driver is whoever chose it to limit."""
        if self.client.info().get("LoggingDriver") != LogConfig.types.JSON:
            return None
        return LogConfig(type=LogConfig.types.JSON, config=_LOGS)

    def _endpoint(self, container: Container) -> tuple[str, list[str]]:
        """Its address on the place's network, and its names there."""
        networks: dict[str, Any] = container.attrs["NetworkSettings"]["Networks"]
        found = networks.get(self.place.network) or {}
        return str(found.get("IPAddress") or ""), list(found.get("Aliases") or ())

    def _asking(self, container: Container) -> httpx.Client:
        container.reload()
        address = self._endpoint(container)[0]
        # trust_env: a proxy of the environment would not find this network.
        base = f"http://{address or 'nowhere.invalid'}:{PORT}"
        return httpx.Client(base_url=base, timeout=_ASK_SECONDS, trust_env=False)

    def _wait_for_name(self, address: str) -> None:
        """Where this process is on that network itself, it can ask as the front does."""
        own = own_container(self.client)
        if own is None or self.place.network not in own.attrs["NetworkSettings"]["Networks"]:
            return
        until = time.monotonic() + _NAME_SECONDS
        while address not in _addresses(ALIAS):
            if time.monotonic() > until:
                raise ReleaseError(f"{ALIAS} does not lead to {address} on {self.place.network}")
            time.sleep(0.1)


def _addresses(name: str) -> set[str]:
    try:
        return {str(each[4][0]) for each in socket.getaddrinfo(name, PORT, socket.AF_INET)}
    except OSError:
        return set()
