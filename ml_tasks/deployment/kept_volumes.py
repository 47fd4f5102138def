"""The named volumes of the stack as streams, by containers that end with them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ml_tasks.deployment import registry_copy
from ml_tasks.deployment.compose import Compose, docker
from ml_tasks.deployment.streams import feed, output_of

POSTGRES, REDIS = "postgres-data", "redis-data"
REGISTRY, MLFLOW, LOGS = "registry-data", "mlflow-data", "airflow-logs"
_KEPT = "/kept"
# Every one has a shell and tar, whichever way the images were made; one has Python.
PYTHON, _TAR = "mammography-airflow", "mammography-postgres:15"
_SERVICE = "999:999"


def there(compose: Compose, volume: str) -> bool:
    """Whether the engine has a volume of the stack."""
    command = ["docker", "volume", "inspect", _name(compose, volume)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def remove(compose: Compose, volumes: Iterable[str]) -> None:
    """Removes volumes; those that are missing are no error.

    Raises:
        StackError: a container uses one.
    """
    for volume in volumes:
        if there(compose, volume):
            docker("volume", "rm", _name(compose, volume))


def registry_stream(compose: Compose, warn: Callable[[str], None]) -> Iterator[bytes]:
    """The registry's data: its links, and what they name; `warn` hears what it had lost before.

    Raises:
        StackError: they cannot be read.
    """
    script = Path(registry_copy.__file__).read_bytes()
    run = container(f"{_name(compose, REGISTRY)}:{_KEPT}:ro", PYTHON, "python3")
    return output_of([*run, "-", _KEPT], "copying the registry's data", script, warn)


def folder_stream(compose: Compose, volume: str) -> Iterator[bytes]:
    """All files of a volume, as a tar.

    Raises:
        StackError: they cannot be read.
    """
    # 1: a file grew while it was read, which is no harm.
    words = f"tar -C {_KEPT} --numeric-owner -cf - . || [ $? = 1 ]"
    run = container(f"{_name(compose, volume)}:{_KEPT}:ro", _TAR, "sh")
    return output_of([*run, "-c", words], f"copying the volume {volume}")


def fill(compose: Compose, volume: str, chunks: Iterable[bytes], owner: str = _SERVICE) -> None:
    """Puts the files of a tar into a volume that compose has made.

    Raises:
        StackError: they cannot be written.
    """
    words = f"tar -C {_KEPT} --no-same-owner -xpf - && chown -R {owner} {_KEPT}"
    run = container(f"{_name(compose, volume)}:{_KEPT}:rw", _TAR, "sh")
    feed([*run, "-c", words], chunks, f"filling the volume {volume}")


def container(mount: str, image: str, program: str, user: str = "0:0") -> list[str]:
    """The command line of a program in a container that ends with it, and sees nothing but `mount`
    (SOURCE:PLACE:ACCESS); its arguments follow."""
    command = ["docker", "run", "--rm", "--interactive", "--network", "none", "--user", user]
    command += ["--security-opt", "no-new-privileges"]
    command += ["--volume", mount]
    return [*command, "--entrypoint", program, image]


def _name(compose: Compose, volume: str) -> str:
    return f"{compose.name}_{volume}"
