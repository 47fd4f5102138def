"""The flags under which an image runs here: nothing writable, no rights, little memory."""

from __future__ import annotations

from typing import Any


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
