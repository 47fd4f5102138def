"""The service's settings: the one place where it reads the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ml_tasks.errors import ConfigError

PORT = 8001
MEGABYTE = 1024 * 1024
OFF, STDOUT = "off", "stdout"

_MOST_AT_ONCE = 4
_KEY = re.compile(r"[\x21-\x7e]{1,512}")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+|\*")


@dataclass(frozen=True)
class Settings:
    """What the service needs to know; each field's environment variable is MAMMO_ and its name.

    `max_body` is in bytes; `at_once` is how many requests are worked on at a time. Of large films,
    which take hundreds of megabytes to decode, there is one at a time whatever it says.
    """

    release: Path = Path("/release")
    host: str = "0.0.0.0"  # in a container the port must be reachable from outside
    port: int = PORT
    max_body: int = 64 * MEGABYTE  # of one request
    max_bodies: int = 256 * MEGABYTE  # of all requests that are being received or answered
    max_files: int = 32  # of one request
    at_once: int = field(default_factory=lambda: _requests_at_once())
    queue: int = 32  # requests that wait beyond those at work
    receive_seconds: int = 60  # for one request to arrive
    answer_seconds: int = 30  # for its answer, waiting included
    api_key: str | None = field(default=None, repr=False)
    cors_origins: tuple[str, ...] = ()
    statistics: str = STDOUT  # off, stdout, or the path of a file
    statistics_bytes: int = 10 * MEGABYTE  # of such a file, before it is rotated
    statistics_files: int = 5  # kept beside the current one

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Reads every MAMMO_ variable that docs/service.md lists, once.

        Raises:
            ConfigError: a value is out of its bounds or none of its kind; it is named.
        """
        settings = cls(
            release=Path(environment.get("MAMMO_RELEASE", "/release")),
            host=environment.get("MAMMO_HOST", "0.0.0.0"),
            port=_whole(environment, "MAMMO_PORT", PORT, 65535),
            max_body=_whole(environment, "MAMMO_MAX_BODY", cls.max_body, 1 << 31),
            max_bodies=_whole(environment, "MAMMO_MAX_BODIES", cls.max_bodies, 1 << 36),
            max_files=_whole(environment, "MAMMO_MAX_FILES", cls.max_files, 1024),
            at_once=_whole(environment, "MAMMO_AT_ONCE", _requests_at_once(), 1024),
            queue=_whole(environment, "MAMMO_QUEUE", cls.queue, 100_000),
            receive_seconds=_whole(
                environment, "MAMMO_RECEIVE_SECONDS", cls.receive_seconds, 86400
            ),
            answer_seconds=_whole(environment, "MAMMO_ANSWER_SECONDS", cls.answer_seconds, 86400),
            api_key=_key(environment),
            cors_origins=_origins(environment),
            statistics=_statistics(environment),
            statistics_bytes=_whole(
                environment, "MAMMO_STATISTICS_BYTES", cls.statistics_bytes, 1 << 40
            ),
            statistics_files=_whole(
                environment, "MAMMO_STATISTICS_FILES", cls.statistics_files, 1000
            ),
        )
        if settings.max_bodies < settings.max_body:
            raise ConfigError(
                f"MAMMO_MAX_BODIES is {settings.max_bodies}, less than MAMMO_MAX_BODY "
                f"({settings.max_body}): the largest request would be told to come again for ever; "
                "raise the one or lower the other"
            )
        return settings


def _requests_at_once() -> int:
    """One more than this process may use processors: while one is read, the others are judged."""
    return min(_MOST_AT_ONCE, len(os.sched_getaffinity(0)) + 1)


def _whole(environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environment.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise ConfigError(f"{name} is {text!r}; set it to a whole number from 1 to {most}")
    return int(text)


def _key(environment: Mapping[str, str]) -> str | None:
    """The key that requests must carry; its value is never told, not even a bad one."""
    name, file = "MAMMO_API_KEY", environment.get("MAMMO_API_KEY_FILE")
    key = environment.get(name)
    if file is not None:
        if key is not None:
            raise ConfigError("MAMMO_API_KEY and MAMMO_API_KEY_FILE are both set; keep one")
        name = "MAMMO_API_KEY_FILE"
        try:
            key = Path(file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name} names {file!r}, which cannot be read ({error})") from error
    if key is not None and not _KEY.fullmatch(key):
        raise ConfigError(
            f"{name} holds no usable key: it must be 1 to 512 visible ASCII characters, without "
            "spaces; unset it to answer everybody"
        )
    return key


def _origins(environment: Mapping[str, str]) -> tuple[str, ...]:
    parts = [part.strip() for part in environment.get("MAMMO_CORS_ORIGINS", "").split(",")]
    origins = tuple(part for part in parts if part)
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"MAMMO_CORS_ORIGINS holds {origin!r}; an origin is https://host or "
                "http://host:port, without a path, or * for all"
            )
    return origins


def _statistics(environment: Mapping[str, str]) -> str:
    text = environment.get("MAMMO_STATISTICS", STDOUT)
    if text in (OFF, STDOUT):
        return text
    path = Path(text)
    if not path.is_absolute() or not path.parent.is_dir():
        raise ConfigError(
            f"MAMMO_STATISTICS is {text!r}; set it to {OFF}, {STDOUT} or the absolute path of a "
            "file in a folder that exists"
        )
    return text
