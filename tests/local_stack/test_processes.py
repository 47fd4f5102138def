"""Background processes: all that was started is ended, and nothing else ever is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml_tasks.errors import StackError
from ml_tasks.local_stack import processes
from ml_tasks.storage import write_bytes
from tests.waiting import until

# A parent with three children: a plain one, one in a process group of its own (as Airflow's tasks
# are), and one that left the session and whose parent has ended (a daemon).
FAMILY = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(sleep)
subprocess.Popen(sleep, process_group=0)
subprocess.run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 &"])
print("ready", flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


def start(state: Path, name: str, code: str) -> processes.Started:
    started = processes.start(state, name, [sys.executable, "-c", code])
    until(lambda: "ready" in started.log.read_text(), "it never said that it is ready")
    return started


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_stop_leaves_no_child_alive(tmp_path: Path) -> None:
    """Children in other process groups and sessions hold ports and files: none may stay."""
    started = start(tmp_path, "family", FAMILY)
    until(lambda: len(processes.members(started)) == 4, "the family was never complete")
    family = processes.members(started)
    assert processes.stop(tmp_path, "family")
    assert [pid for pid in family if alive(pid)] == []
    assert processes.listed(tmp_path) == []


def test_orphans_are_ended_after_their_parent_died(tmp_path: Path) -> None:
    started = start(tmp_path, "family", FAMILY)
    until(lambda: len(processes.members(started)) == 4, "the family was never complete")
    os.kill(started.pid, 9)
    until(lambda: not started.alive, "it never ended")
    orphans = processes.members(started)
    assert len(orphans) == 3
    assert processes.stop(tmp_path, "family")
    assert [pid for pid in orphans if alive(pid)] == []


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    started = start(tmp_path, "stubborn", STUBBORN)
    assert processes.stop(tmp_path, "stubborn", grace=0.3)
    assert not alive(started.pid)


@pytest.mark.parametrize("changed", ["birth", "boot"])
def test_a_reused_pid_is_never_killed(tmp_path: Path, changed: str) -> None:
    """The record outlives the process; by then its number may be somebody else's."""
    code = "import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as other:
        ours = processes.start(tmp_path, "ours", [sys.executable, "-c", "pass"])
        until(lambda: not ours.alive, "it never ended")
        birth = int(Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19])
        update: dict[str, object] = {"pid": other.pid, "birth": birth}
        update |= {"birth": birth - 1} if changed == "birth" else {"boot": "another"}
        record = ours.model_copy(update=update)
        write_bytes(tmp_path / "processes" / "ours.json", record.model_dump_json().encode())
        assert not record.alive
        assert not processes.stop(tmp_path, "ours")
        assert other.poll() is None
        other.kill()


def test_what_runs_is_listed_and_logged(tmp_path: Path) -> None:
    started = start(tmp_path, "family", "print('ready', flush=True); input()")
    until(lambda: not started.alive, "it never ended")
    assert [entry.name for entry in processes.listed(tmp_path)] == ["family"]
    assert processes.running(tmp_path, "family") is None
    assert "EOFError" in processes.tail(started.log, 3)
    assert not processes.stop(tmp_path, "family")


def test_one_name_is_not_started_twice(tmp_path: Path) -> None:
    started = start(tmp_path, "stubborn", STUBBORN)
    with pytest.raises(StackError, match=f"runs already as pid {started.pid}"):
        processes.start(tmp_path, "stubborn", ["true"])
    processes.stop(tmp_path, "stubborn", grace=0.1)


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"could not be started \(no-such-program"):
        processes.start(tmp_path, "x", ["no-such-program"])


def test_stopping_what_was_never_started_does_nothing(tmp_path: Path) -> None:
    assert not processes.stop(tmp_path, "nothing")


def test_a_failing_system_command_quotes_its_last_lines() -> None:
    with pytest.raises(StackError, match=r"status 3:\nwhat went wrong"):
        processes.run_to_end(["sh", "-c", "echo what went wrong; exit 3"])
