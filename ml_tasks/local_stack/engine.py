"""The Docker engine: the one that runs, else Debian's docker.io, installed and started."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from ml_tasks.errors import StackError
from ml_tasks.local_stack import processes
from ml_tasks.local_stack.processes import run_to_end
from ml_tasks.local_stack.terminal import step

DOCKERD = "dockerd"
_APT_PATIENCE = 120.0  # seconds
_SYSTEMD_MARK = "engine-started-by-systemctl"
_START_SECONDS = 60.0


@dataclass(frozen=True)
class Engine:
    """Where the engine answers; `reason` says why there is none, and `host` is None then."""

    host: str | None
    reason: str | None = None
    started_here: bool = False

    def client(self, timeout: int = 120) -> docker.DockerClient:
        """A client of this engine, to be closed by the caller.

        Raises:
            StackError: there is no engine.
        """
        if self.host is None:
            raise StackError(f"there is no Docker engine: {self.reason}")
        return docker.DockerClient(base_url=self.host, timeout=timeout)


def ensure_engine(
    state: Path,
    environment: Mapping[str, str] = os.environ,
    say: Callable[[str], None] = step,
) -> Engine:
    """The running engine, else one installed and started, else the reason why there is none."""
    if environment.get("SKIP_DOCKER", "") not in ("", "0"):
        return Engine(None, "SKIP_DOCKER is set; unset it to build and ship the image")
    host = environment.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    trouble = ping(host)
    if trouble is None:
        return Engine(host, started_here=processes.running(state, DOCKERD) is not None)
    if environment.get("DOCKER_HOST"):
        return Engine(None, f"the engine of DOCKER_HOST={host} does not answer: {trouble}")
    obstacle = _obstacle(trouble)
    if obstacle is not None:
        return Engine(None, obstacle)
    try:
        _install_if_missing(say)
        _start(state, host, say)
    except StackError as error:
        return Engine(None, str(error))
    return Engine(host, started_here=True)


def ping(host: str) -> str | None:
    """None if an engine answers at `host`, else what was in the way."""
    try:
        client = docker.DockerClient(base_url=host, timeout=10)
    except (DockerException, OSError) as error:
        return str(error)
    try:
        client.ping()
    except (DockerException, OSError) as error:
        return str(error)
    finally:
        client.close()
    return None


def start_dockerd(
    state: Path, host: str, options: Sequence[str] = (), program: Sequence[str] = ("dockerd",)
) -> None:
    """Starts dockerd by hand, recorded so that `stop` ends it, and waits until it answers.

    A second engine on one machine needs folders and a network namespace of its own (`program`
    ("unshare", "--net", "dockerd")): it would take the bridge docker0 away from the first.

    Raises:
        StackError: it ended or did not answer in time; the end of its log is quoted.
    """
    command = [*program, "--host", host, *options]
    started = processes.start(state, DOCKERD, command)
    deadline = time.monotonic() + _START_SECONDS
    while (trouble := ping(host)) is not None:
        if not started.alive or time.monotonic() > deadline:
            processes.stop(state, DOCKERD)
            why = _why(started.log, _data_of(options))
            raise StackError(f"dockerd did not come up ({trouble}); {why}")
        time.sleep(0.3)


def _data_of(options: Sequence[str]) -> str:
    words = [word for each in options for word in each.split("=", 1)]
    return words[words.index("--data-root") + 1] if "--data-root" in words else "/var/lib/docker"


def _why(log: Path, data: str) -> str:
    """What dockerd died of: of a crash its first line, which a page of Go's stack follows."""
    text = processes.tail(log, 1000)
    crash = re.search(r"^(?:panic|fatal error): .*$", text, re.MULTILINE)
    if crash is None:
        return f"the end of its log:\n{processes.tail(log, 8)}"
    if "bbolt" not in text[crash.start() :]:  # not its own database
        return f"it crashed: {crash[0]!r} ({log})"
    return (
        f"it crashed on its own data: {crash[0]!r} ({log}). An engine that was killed in the "
        f"middle of a write leaves such: move {data} aside (images and volumes are in it) and "
        "start again, or bring it back from a backup"
    )


def stop_engine(state: Path, say: Callable[[str], None] = step) -> None:
    """Ends the engine if it was started under this state directory; any other is left alone."""
    mark = state / _SYSTEMD_MARK
    if mark.exists():
        run_to_end(["systemctl", "stop", "docker.socket", "docker"], 120)
        mark.unlink()
        say("the Docker engine is stopped (systemctl)")
    if processes.stop(state, DOCKERD, grace=30):
        say("the Docker engine is stopped")


def _obstacle(trouble: str) -> str | None:
    """Why no engine can be installed or started here; None if it can."""
    if os.geteuid() != 0:
        if "Permission denied" in trouble:
            return (
                "this user may not use the Docker engine; run `sudo usermod -aG docker $USER` "
                "and log in again"
            )
        return (
            "no Docker engine answers, and only root can install or start one; run "
            "`sudo apt-get install -y docker.io && sudo usermod -aG docker $USER`, log in again"
        )
    if shutil.which("dockerd") is None and shutil.which("apt-get") is None:
        return "no Docker engine answers and this is no Debian or Ubuntu; install Docker yourself"
    return None


def _install_if_missing(say: Callable[[str], None]) -> None:
    if shutil.which("dockerd") is not None:
        return
    say("no Docker engine here: installing Debian's docker.io (apt-get), about a minute")
    start = time.monotonic()
    apt_get("update")
    apt_get("install", "-y", "--no-install-recommends", "docker.io")
    say(f"docker.io is installed ({time.monotonic() - start:.0f} s)")


def apt_get(*arguments: str, cwd: Path | None = None) -> None:
    """Runs apt-get without questions; another apt-get is waited for.

    Raises:
        StackError: it failed; its last lines are quoted.
    """
    deadline = time.monotonic() + _APT_PATIENCE
    while True:
        try:
            return run_to_end(["apt-get", "-q", *arguments], 600, cwd)
        except StackError as error:
            if "Could not get lock" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(1)


def _start(state: Path, host: str, say: Callable[[str], None]) -> None:
    # Installing the package may have started it already.
    if ping(host) is None:
        return
    if Path("/run/systemd/system").is_dir():
        say("starting the Docker engine (systemctl start docker)")
        run_to_end(["systemctl", "start", "docker"], 120)
        (state / _SYSTEMD_MARK).touch()
        return
    say("starting the Docker engine (dockerd); `make stop` will end it")
    start_dockerd(state, host)
