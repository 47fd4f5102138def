"""Background processes with a log and a record, ended to the last child and never by mistake."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from ml_tasks.errors import StackError
from ml_tasks.records import Record
from ml_tasks.storage import write_bytes

_TOKEN = "MAMMO_STARTED"
# Our own children are kept in hand, so that none stays a zombie once it has ended.
_children: dict[int, subprocess.Popen[bytes]] = {}


class Started(Record):
    """A process that was started here; `birth` and `boot` tell it from a later one of its pid."""

    name: str
    pid: int
    birth: int
    boot: str
    token: str
    command: tuple[str, ...]
    log: Path

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        stat = _stat(self.pid)
        return self.boot == _boot() and stat is not None and stat.birth == self.birth


class _Stat(Record):
    """What /proc/<pid>/stat says."""

    parent: int
    session: int
    birth: int


def start(
    state: Path,
    name: str,
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Started:
    """Starts `command` in a session of its own; output goes to <state>/logs/<name>.log.

    Raises:
        StackError: the program is missing, or one of this name runs already.
    """
    before = recorded(state, name)
    if before is not None and before.alive:
        raise StackError(f"{name} runs already as pid {before.pid}; stop it first")
    if before is not None and members(before):
        stop(state, name)  # its leader died alone: what it left would be forgotten
    log = state / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    token = uuid4().hex
    environment = {**(os.environ if env is None else env), _TOKEN: token}
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=cwd,
                start_new_session=True,
            )
    except OSError as error:
        raise StackError(f"{name} could not be started ({command[0]}: {error.strerror})") from error
    _children[process.pid] = process
    stat = _stat(process.pid)
    started = Started(
        name=name,
        pid=process.pid,
        birth=stat.birth if stat else 0,
        boot=_boot(),
        token=token,
        command=tuple(command),
        log=log,
    )
    write_bytes(_record(state, name), started.model_dump_json(indent=2).encode())
    return started


def recorded(state: Path, name: str) -> Started | None:
    """What was last started under this name and not stopped since; it may have ended by itself."""
    try:
        return Started.model_validate_json(_record(state, name).read_text())
    except FileNotFoundError:
        return None


def running(state: Path, name: str) -> Started | None:
    """The process of this name, if it is alive."""
    started = recorded(state, name)
    return started if started is not None and started.alive else None


def listed(state: Path) -> list[Started]:
    """Everything that was started under this state directory and not stopped since."""
    names = sorted(path.stem for path in (state / "processes").glob("*.json"))
    found = [recorded(state, name) for name in names]
    return [started for started in found if started is not None]


def stop(state: Path, name: str, grace: float = 20.0) -> bool:
    """Ends the process and all that came of it: SIGTERM, up to `grace` seconds, SIGKILL.

    Returns whether anything was still running.

    Raises:
        StackError: something survived even SIGKILL.
    """
    started = recorded(state, name)
    if started is None:
        return False
    found = bool(members(started))
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
        _signal_all(started, number)
        if _gone(started, seconds):
            if started.pid in _children:
                _children.pop(started.pid).wait()
            _record(state, name).unlink(missing_ok=True)
            return found
    raise StackError(f"{name}: processes {sorted(members(started))} could not be ended")


def members(started: Started) -> set[int]:
    """The pids of the process, its session and its descendants that are alive now.

    The session holds children that made process groups of their own; the token in the
    environment finds those that left the session too. A reused pid has neither.
    """
    if started.boot != _boot():
        return set()
    stats = {pid: stat for pid in _pids() if (stat := _stat(pid)) is not None}
    leader = stats.get(started.pid)
    # While a session has members, the kernel gives its number to no new process.
    ours = leader is None or leader.birth == started.birth
    found = {
        pid
        for pid, stat in stats.items()
        if stat.birth >= started.birth
        and ((ours and started.pid in (pid, stat.session)) or _has_token(pid, started.token))
    }
    growing = True
    while growing:
        more = {pid for pid, stat in stats.items() if stat.parent in found} - found
        found |= more
        growing = bool(more)
    return found - {os.getpid()}


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log file, for an error message."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "(no log was written)"
    return "\n".join(text.splitlines()[-lines:])


def run_to_end(command: Sequence[str], seconds: float = 600.0, cwd: Path | None = None) -> None:
    """Runs a system command silently and without questions.

    Raises:
        StackError: it failed or took too long; its last lines are quoted.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    line = " ".join(command)
    try:
        done = subprocess.run(
            command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"`{line}` failed: {error}") from error
    if done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
        raise StackError(f"`{line}` failed with status {done.returncode}:\n{end}")


def _signal_all(started: Started, number: signal.Signals) -> None:
    for pid in members(started):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _gone(started: Started, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while members(started):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _record(state: Path, name: str) -> Path:
    return state / "processes" / f"{name}.json"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdecimal()]


def _stat(pid: int) -> _Stat | None:
    """None once the process has ended; a zombie has."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    return _Stat(parent=int(fields[1]), session=int(fields[3]), birth=int(fields[19]))


def _has_token(pid: int, token: str) -> bool:
    try:
        return f"{_TOKEN}={token}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
