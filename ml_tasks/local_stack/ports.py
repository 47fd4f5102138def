"""TCP ports of this machine: which are free, and which process holds one that is not."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ml_tasks.errors import StackError

_LISTENING = "0A"


@dataclass(frozen=True)
class Holder:
    """The process that listens on a port; its fields are None where they may not be read."""

    pid: int | None
    command: str | None

    def __str__(self) -> str:
        if self.pid is None:
            return "another process (of another user, or in another container)"
        return f"pid {self.pid} ({self.command})"


def is_free(port: int) -> bool:
    """Whether a server could listen on this port, on every address of the machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that are free now and differ from one another."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def require_free(port: int, variable: str) -> None:
    """Returns if the port is free; `variable` is the environment variable that moves it.

    Raises:
        StackError: it is taken; the process that holds it is named.
    """
    if not is_free(port):
        raise StackError(f"port {port} is taken by {holder(port)}; stop it or set {variable}")


def port_from(environment: Mapping[str, str], variable: str, default: int) -> int:
    """The port that an environment variable asks for.

    Raises:
        StackError: the value is no port number.
    """
    text = environment.get(variable, "").strip()
    if not text:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise StackError(f"{variable} is {text!r}; set it to a port number from 1 to 65535")
    return int(text)


def holder(port: int) -> Holder:
    """The process that listens on `port`, found through /proc."""
    sockets = _listening_sockets(port)
    for process in Path("/proc").glob("[0-9]*"):
        # A process may end, or forbid the look, at any moment.
        with suppress(OSError):
            for handle in (process / "fd").iterdir():
                with suppress(OSError):
                    if str(handle.readlink()) in sockets:
                        return Holder(int(process.name), command_of(process))
    return Holder(None, None)


def command_of(process: Path) -> str:
    """The name and the command line of a process, e.g. `nginx: nginx -g daemon off;`."""
    name = (process / "comm").read_text().strip()
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    line = " ".join(word for word in words if word)
    shown = line if len(line) <= 120 else line[:117] + "..."
    return f"{name}: {shown}" if shown else name


def _listening_sockets(port: int) -> set[str]:
    """The sockets that listen on `port`, as /proc/<pid>/fd shows them."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(FileNotFoundError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                address, state, inode = fields[1], fields[3], fields[9]
                if state == _LISTENING and int(address.rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{inode}]")
    return found
