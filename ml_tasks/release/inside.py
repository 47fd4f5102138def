"""What a process inside of the container may do: run there by its source, without libraries."""

from __future__ import annotations

import errno
import json
import select
import socket
import sys
import time
from pathlib import Path

# Name servers that answer nearly everywhere; a handshake is all that would reach them.
OUTSIDE = (("1.1.1.1", 53), ("8.8.8.8", 53), ("9.9.9.9", 53))
# Not /dev/shm: every engine gives a container memory there, and none of it outlives it.
PLACES = ("/", "/tmp", "/release", "/app", "/var/tmp")
_PATIENCE = 1.0  # seconds


def look() -> dict[str, object]:
    """Who runs, with which rights, where files can be made, and whether packets can leave."""
    first = dict(
        line.split(":", 1)
        for line in Path("/proc/1/status").read_text().splitlines()
        if ":" in line
    )
    return {
        "user": int(first["Uid"].split()[0]),
        "capabilities": int(first["CapEff"], 16) | int(first["CapPrm"], 16),
        "no_new_privileges": first.get("NoNewPrivs", "").strip() == "1",
        "writable": [place for place in PLACES if writable(place)],
        "way_out": way_out(),
        "peak_bytes": cgroup_peak() or int(first["VmHWM"].split()[0]) * 1024,
    }


def writable(place: str) -> bool:
    """Whether a file can be made there; it is removed again."""
    path = Path(place) / "written-by-the-smoke-test"
    try:
        path.touch(exist_ok=False)
        path.unlink()
    except OSError:
        return False
    return True


def way_out() -> str:
    """Which addresses outside answer, be it by a refusal; empty if none does."""
    sockets = [socket.socket() for _ in OUTSIDE]
    answering = []
    for each, address in zip(sockets, OUTSIDE, strict=True):
        each.setblocking(False)
        # Where there is no route at all, the kernel says so at once, and `select` would then name
        # the socket without an error: that is no answer.
        if each.connect_ex(address) not in (0, errno.EINPROGRESS, errno.ECONNREFUSED):
            each.close()
    deadline = time.monotonic() + _PATIENCE
    while (left := deadline - time.monotonic()) > 0:
        _, ready, _ = select.select([], [s for s in sockets if s.fileno() >= 0], [], left)
        for each in ready:
            failure = each.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failure in (0, errno.ECONNREFUSED):
                answering.append(OUTSIDE[sockets.index(each)][0])
            each.close()
    return ", ".join(answering)


def cgroup_peak() -> int:
    """The most memory that the container ever held, where the kernel counts it (cgroup v2)."""
    try:
        return int(Path("/sys/fs/cgroup/memory.peak").read_text())
    except (OSError, ValueError):
        return 0


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look()))
