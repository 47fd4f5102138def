"""The container that this process runs in, as its own engine knows it."""

from __future__ import annotations

import re
from pathlib import Path

from docker import DockerClient
from docker.errors import NotFound
from docker.models.containers import Container

_MOUNTS = Path("/proc/self/mountinfo")
# The engine mounts this file into each container, whatever host name that was given.
_HOSTNAME = re.compile(r"/containers/([0-9a-f]{64})/hostname /etc/hostname ")


def own_container(client: DockerClient, mounts: Path = _MOUNTS) -> Container | None:
    """None outside of a container of this engine, and in one that has no networks of its own."""
    found = _HOSTNAME.search(mounts.read_text()) if mounts.exists() else None
    if found is None:
        return None
    try:
        own = client.containers.get(found[1])
    except NotFound:  # of another engine
        return None
    mode = str(own.attrs["HostConfig"]["NetworkMode"])
    return None if mode in ("host", "none") or mode.startswith("container:") else own
