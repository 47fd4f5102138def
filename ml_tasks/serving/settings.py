"""The service's settings: the one place where it reads the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ml_tasks.errors import ConfigError

PORT = 8001
MAX_BODY = 64 * 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """What the service needs to know.

    `max_body` is in bytes; `at_once` is how many images are decoded and judged at a time: one
    keeps within a gigabyte of memory, since a large film takes hundreds of megabytes.
    """

    release: Path = Path("/release")
    host: str = "0.0.0.0"  # in a container the port must be reachable from outside
    port: int = PORT
    max_body: int = MAX_BODY
    at_once: int = 1

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Reads MAMMO_RELEASE, MAMMO_HOST, MAMMO_PORT, MAMMO_MAX_BODY and MAMMO_AT_ONCE.

        Raises:
            ConfigError: a number is none, or out of its bounds.
        """
        return cls(
            release=Path(environment.get("MAMMO_RELEASE", "/release")),
            host=environment.get("MAMMO_HOST", "0.0.0.0"),
            port=_whole(environment, "MAMMO_PORT", PORT, 65535),
            max_body=_whole(environment, "MAMMO_MAX_BODY", MAX_BODY, 1 << 31),
            at_once=_whole(environment, "MAMMO_AT_ONCE", 1, 1024),
        )


def _whole(environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environment.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise ConfigError(f"{name} is {text!r}; set it to a whole number from 1 to {most}")
    return int(text)
