"""Where the doctor looks: the settings, this checkout, the local stack's state, the environment."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_tasks.config import Config

SECONDS = 4.0  # that one check may take, its commands included


@dataclass(frozen=True)
class Place:
    """What every check is handed; `refusal` says why config.yaml cannot be used, if it cannot."""

    config_file: Path
    config: Config  # the defaults, where config.yaml is refused
    refusal: str
    project: Path
    state: Path
    environment: Mapping[str, str]


def words_of(command: Sequence[str], seconds: float = SECONDS) -> str | None:
    """What a command says on stdout; None where it is missing, fails, or takes too long."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
