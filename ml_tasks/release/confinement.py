"""The flags under which an image runs here: nothing writable, no rights, little memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

USER = "10001:10001"  # as whom a release image runs (docker/serving.Dockerfile)
PORT = 8001  # on which it listens
MEMORY = 1 << 30
PROCESSES = 256
_STATISTICS = "/statistics"


def confined(memory: int, processes: int) -> dict[str, Any]:
    """Arguments of the Docker SDK's `containers.create`; `memory` in bytes, swap included.

    Without the proxies that this machine's users have set: their addresses may hold passwords.
    """
    return {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "mem_limit": memory,
        "memswap_limit": memory,
        "pids_limit": processes,
        "use_config_proxy": False,
    }


def as_service(
    statistics: Path | None, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The same for a release image that serves, which is given `environment`.

    Into the folder `statistics`, a path of the engine's machine, it writes what drift is told by;
    without one, to its log.
    """
    flags = confined(MEMORY, PROCESSES)
    flags["tmpfs"] = {"/tmp": "rw,noexec,nosuid,size=64m"}
    flags["environment"] = dict(environment or {})
    if statistics is not None:
        flags["volumes"] = {str(statistics): {"bind": _STATISTICS, "mode": "rw"}}
        flags["environment"]["MAMMO_STATISTICS"] = f"{_STATISTICS}/images.jsonl"
    return flags
