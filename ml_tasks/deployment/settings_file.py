"""The file .env: what this machine's stack is set to, its secrets drawn at random and kept."""

from __future__ import annotations

import os
import re
import secrets
import stat
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from pathlib import Path

from ml_tasks.errors import StackError

NAME = ".env"
SOCKET = Path("/var/run/docker.sock")
AIRFLOW_UID = 50000  # as whom the images run where root starts the stack
_LINE = re.compile(r"^([A-Za-z_]\w*)=(.*)$")
_HEAD = """\
# The settings of this machine's stack, made by `make up`; read by docker compose.
# It holds every secret of the stack: keep it private, and with your backups. What stands here is
# never replaced by itself; a line that is missing is added.
"""


def ensure_settings(project: Path) -> dict[str, str]:
    """Every setting of the file, which is made, or completed, first; it alone may read it.

    Raises:
        StackError: the file cannot be read or holds what is no setting, or an empty secret.
    """
    path, found = project / NAME, settings_so_far(project)
    missing = {name: make() for name, make in _makers(project, found).items() if name not in found}
    empty = [name for name in SECRETS if name in found and not found[name]]
    if empty:
        raise StackError(
            f"{path}: {', '.join(empty)} is empty; put the value of before back (each backup holds "
            "it: docs/backup.md). Of a stack that is new, remove the line: one is drawn"
        )
    if missing or not path.exists():
        change_settings(project, missing)
    path.chmod(0o600)
    return {**found, **missing}


def settings_so_far(project: Path) -> dict[str, str]:
    """The settings as they stand; none where there is no file yet.

    Raises:
        StackError: a line is no setting, or the file cannot be read.
    """
    return read_settings(project) if (project / NAME).exists() else {}


def read_settings(project: Path) -> dict[str, str]:
    """The settings as they stand in the file.

    Raises:
        StackError: there is no such file, or a line is no setting.
    """
    path = project / NAME
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise StackError(f"{path} is not there: `make up` makes it") from None
    except OSError as error:
        raise StackError(f"{path} cannot be read ({error.strerror}); run as its owner") from error
    return parse_settings(text, str(path))


def parse_settings(text: str, place: str) -> dict[str, str]:
    """The settings in the text of such a file; of a name that stands twice the last counts.

    Raises:
        StackError: a line of `place` is no setting.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line.strip())
        if match is None:
            raise StackError(f"{place}, line {number}: no setting of the form NAME=value")
        found[match[1]] = match[2].strip().strip("\"'")
    return found


def change_settings(project: Path, settings: Mapping[str, str]) -> None:
    """Gives settings other values, or adds them, as a whole new file that takes its place."""
    path = project / NAME
    before = path.read_text() if path.exists() else _HEAD
    kept = [line for line in before.splitlines() if line.partition("=")[0] not in settings]
    lines = [*kept, *(f"{name}={value}" for name, value in settings.items()), ""]
    new = path.with_name(f"{path.name}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(handle, "w") as stream:
        stream.write("\n".join(lines))
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)


def usual_place(project: Path) -> dict[str, str]:
    """Name and shared volume of the stack of this checkout, unless its file says otherwise."""
    return {
        "COMPOSE_PROJECT_NAME": "mammography",
        "MAMMO_SHARED": str((project / "shared").absolute()),
    }


def _hex() -> str:
    return secrets.token_hex(32)


def _fernet() -> str:
    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


SECRETS: dict[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": _hex,
    "REDIS_PASSWORD": _hex,
    "REGISTRY_PASSWORD": _hex,
    "REGISTRY_HTTP_SECRET": _hex,
    "AIRFLOW_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(15),
    "AIRFLOW_API_SECRET": _hex,
    "AIRFLOW_JWT_SECRET": _hex,
    "AIRFLOW_FERNET_KEY": _fernet,
    "MAMMO_PSEUDONYM_KEY": _hex,  # another one gives other patients: docs/data.md
}


def _makers(project: Path, found: dict[str, str]) -> dict[str, Callable[[], str]]:
    place, socket = usual_place(project), Path(found.get("DOCKER_SOCKET") or SOCKET)
    return {
        "COMPOSE_PROJECT_NAME": lambda: place["COMPOSE_PROJECT_NAME"],
        "MAMMO_SHARED": lambda: place["MAMMO_SHARED"],
        "MAMMO_UID": lambda: str(os.getuid() or AIRFLOW_UID),
        "DOCKER_GID": lambda: _docker_group(socket),
        **SECRETS,
    }


def _docker_group(socket: Path) -> str:
    try:
        return str(socket.stat().st_gid)
    except OSError as error:
        raise StackError(
            f"{socket}: {error.strerror}; start the Docker engine, or write the group that owns "
            f"its socket into {NAME} as DOCKER_GID"
        ) from error
