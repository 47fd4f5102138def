"""The program docker compose, v2 or 1.29, on one project."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ml_tasks.errors import StackError


@dataclass(frozen=True)
class Compose:
    """The stack of the checkout `project`, seen with `profiles`."""

    project: Path
    settings: Mapping[str, str] = field(repr=False)
    profiles: tuple[str, ...] = ("cpu",)

    @property
    def name(self) -> str:
        """What every container, network and volume of the stack begins with."""
        return self.settings["COMPOSE_PROJECT_NAME"]

    def command(self, *arguments: str) -> list[str]:
        """The whole command line."""
        profiles = [word for each in self.profiles for word in ("--profile", each)]
        place = ["--project-directory", str(self.project), "--project-name", self.name]
        return [*compose_program(), *place, *profiles, *arguments]

    def run(self, *arguments: str) -> None:
        """Runs a command whose output goes to the terminal.

        Raises:
            StackError: it failed.
        """
        command = self.command(*arguments)
        done = subprocess.run(command, cwd=self.project, env=_patient(), check=False)
        if status := done.returncode:
            raise StackError(
                f"`docker compose {' '.join(arguments)}` ended with status {status}; "
                "what is above says why"
            )

    def output(self, *arguments: str, data: bytes | None = None) -> bytes:
        """What a command prints; `data` goes to its standard input.

        Raises:
            StackError: it failed; the end of what it says is quoted.
        """
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.project,
            env=_patient(),
            input=data,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            words = (done.stderr or done.stdout).decode(errors="replace").strip()
            end = "\n".join(words.splitlines()[-8:])
            raise StackError(f"`docker compose {' '.join(arguments)}` failed:\n{end}")
        return done.stdout

    def exec(self, service: str, command: Sequence[str], data: bytes | None = None) -> str:
        """Runs a command in the running container of a service; gives what it prints.

        Raises:
            StackError: it failed, or the service does not run.
        """
        return self.output("exec", "-T", service, *command, data=data).decode(errors="replace")

    def containers(self, service: str = "", stopped: bool = False) -> list[str]:
        """The ids of the running containers of a service; of all without one."""
        label = f"label=com.docker.compose.project={self.name}"
        filters = ["--filter", label]
        if service:
            filters += ["--filter", f"label=com.docker.compose.service={service}"]
        return docker(
            "ps", "--quiet", "--no-trunc", *(["--all"] if stopped else []), *filters
        ).split()


def _patient() -> dict[str, str]:
    """The environment, in which docker-compose 1.29 gives a busy engine more than its minute."""
    return {"COMPOSE_HTTP_TIMEOUT": "600", **os.environ}


def docker(*arguments: str) -> str:
    """What the program docker prints.

    Raises:
        StackError: it is missing, or failed; its last words are quoted.
    """
    if shutil.which("docker") is None:
        raise StackError(_NO_DOCKER)
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"`docker {' '.join(arguments[:2])}` failed: {done.stderr.strip()[-600:]}")
    return done.stdout


@cache
def compose_program() -> tuple[str, ...]:
    """`docker compose` where the engine's program has it, else docker-compose.

    Raises:
        StackError: neither is there.
    """
    if shutil.which("docker") is not None:
        version = ["docker", "compose", "version"]
        if subprocess.run(version, capture_output=True, check=False).returncode == 0:
            return ("docker", "compose")
    if shutil.which("docker-compose") is not None:
        return ("docker-compose",)
    raise StackError(_NO_DOCKER)


_NO_DOCKER = (
    "docker with compose is not installed; on Debian or Ubuntu: "
    "sudo apt-get install -y docker.io docker-compose"
)
