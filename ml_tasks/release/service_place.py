"""Where the stack's inference service runs: its network, and the settings that it is given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ml_tasks.config import CONFIG_VARIABLE
from ml_tasks.errors import ConfigError, StageSkipped

NETWORK, SHARED = "MAMMO_SERVICE_NETWORK", "MAMMO_SHARED_HOST"
# The service's own settings that are handed on (docs/service.md). MAMMO_MAX_BODY is not among
# them: the front's limit would have to follow.
HANDED_ON = (
    "MAMMO_API_KEY",
    "MAMMO_CORS_ORIGINS",
    "MAMMO_MAX_FILES",
    "MAMMO_AT_ONCE",
    "MAMMO_QUEUE",
    "MAMMO_RECEIVE_SECONDS",
    "MAMMO_ANSWER_SECONDS",
)


@dataclass(frozen=True)
class ServicePlace:
    """The network of one stack, by whose name its containers are told from those of another."""

    network: str
    statistics: Path  # as the engine's machine names the folder
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a key

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], statistics: Path) -> ServicePlace:
        """Reads MAMMO_SERVICE_NETWORK, MAMMO_SHARED_HOST and the service's own settings.

        `statistics` is the folder as this process knows it, which is the same where it runs on the
        engine's machine itself.

        Raises:
            StageSkipped: no network is named, so there is no service that follows `production`.
            ConfigError: MAMMO_SHARED_HOST is no absolute path, or `statistics` lies elsewhere.
        """
        network, shared = environment.get(NETWORK, ""), environment.get(SHARED, "")
        if not network:
            raise StageSkipped(
                f"{NETWORK} is not set: no service follows `production` here. docker-compose's "
                "builder has it; on one machine `make demo` starts the service itself"
            )
        if shared:
            statistics = Path(shared) / _below_the_volume(statistics, environment)
        if not statistics.is_absolute():
            raise ConfigError(
                f"{SHARED} is {shared!r}; set it to the absolute path of the shared volume on the "
                "machine of the Docker engine"
            )
        given = {name: environment[name] for name in HANDED_ON if environment.get(name)}
        return cls(network, statistics, given)

    @property
    def mark(self) -> str:
        """Stands for everything that a container is started with but its image."""
        told = json.dumps([str(self.statistics), dict(self.settings)], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def _below_the_volume(statistics: Path, environment: Mapping[str, str]) -> Path:
    """Where the folder lies on the shared volume, which is where the configuration lies."""
    volume = Path(environment.get(CONFIG_VARIABLE) or statistics).parent
    try:
        return statistics.relative_to(volume)
    except ValueError as error:
        raise ConfigError(
            f"paths.statistics is {statistics}, which is not on the shared volume {volume}: the "
            "service would write where drift does not look; name a folder there"
        ) from error
