"""The settings of the Airflows of this machine, read as text: no Airflow is imported or started."""

from __future__ import annotations

import configparser
import json
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import Field

from ml_tasks.doctor.place import Place
from ml_tasks.records import Record

LOCAL, HERE, COMPOSE = "the local stack", "this environment", "docker compose"


class AirflowFacts(Record):
    """One Airflow: where its settings stand, and what they are. Nobody prints `settings`."""

    name: str
    source: str
    settings: dict[str, str] = Field(default_factory=dict, repr=False)  # AIRFLOW__SECTION__KEY
    passwords: dict[str, str] = Field(default_factory=dict, repr=False)
    open_files: tuple[str, ...] = ()  # that hold secrets and others may read

    def setting(self, section: str, key: str, default: str = "") -> str:
        """The value of `[section] key`; `<elsewhere>` where a command or a vault gives it."""
        name = f"AIRFLOW__{section.upper()}__{key.upper()}"
        if name in self.settings:
            return self.settings[name].strip()
        elsewhere = any(f"{name}_{way}" in self.settings for way in ("CMD", "SECRET"))
        return "<elsewhere>" if elsewhere else default


def look(place: Place) -> list[AirflowFacts]:
    """Those that are set up: by this environment, by `mammo demo`, and by .env for compose."""
    local = place.state.absolute() / "airflow"
    found = []
    environment = place.environment
    home = Path(environment.get("AIRFLOW_HOME") or Path.home() / "airflow")
    set_here = any(name.startswith("AIRFLOW__") for name in environment)
    if (set_here or (home / "airflow.cfg").exists()) and home.absolute() != local:
        found.append(_of_environment(home, environment))
    if (local / "environment.json").exists():
        found.append(_of_local_stack(local))
    if (place.project / ".env").exists():
        found.append(_of_compose(place.project / ".env"))
    return found


def _of_environment(home: Path, environment: Mapping[str, str]) -> AirflowFacts:
    config = Path(environment.get("AIRFLOW_CONFIG") or home / "airflow.cfg")
    settings = {**_of_file(config), **_variables(environment)}
    passwords = settings.get("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE")
    file = Path(passwords or home / "simple_auth_manager_passwords.json.generated")
    return AirflowFacts(
        name=HERE,
        source=f"the environment and {config}",
        settings=settings,
        passwords=_json(file),
        open_files=_open((config, file)),
    )


def _of_local_stack(home: Path) -> AirflowFacts:
    files = tuple(
        home / name
        for name in ("environment.json", "secrets.json", "simple_auth_manager_passwords.json")
    )
    return AirflowFacts(
        name=LOCAL,
        source=str(files[0]),
        settings=_json(files[0]),
        passwords=_json(files[2]),
        open_files=_open(files),
    )


def _of_compose(file: Path) -> AirflowFacts:
    values = {}
    for line in _text(file).splitlines():
        name, found, value = line.partition("=")
        if found and not name.lstrip().startswith("#"):
            values[name.strip()] = value.strip().strip("'\"")
    # Under the names that docker-compose.yaml gives them in the containers.
    settings = {
        "AIRFLOW__CORE__FERNET_KEY": values.get("AIRFLOW_FERNET_KEY", ""),
        "AIRFLOW__API__SECRET_KEY": values.get("AIRFLOW_API_SECRET", ""),
        "AIRFLOW__API_AUTH__JWT_SECRET": values.get("AIRFLOW_JWT_SECRET", ""),
    }
    names = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "AIRFLOW_ADMIN_PASSWORD")
    return AirflowFacts(
        name=COMPOSE,
        source=str(file),
        settings=settings,
        passwords={name: values.get(name, "") for name in names},
        open_files=_open((file,)),
    )


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("AIRFLOW__")}


def _of_file(path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    with suppress(configparser.Error):
        parser.read_string(_text(path))
    return {
        f"AIRFLOW__{section.upper()}__{key.upper()}": value
        for section in parser.sections()
        for key, value in parser.items(section)
    }


def _json(path: Path) -> dict[str, str]:
    try:
        content = json.loads(_text(path) or "{}")
    except json.JSONDecodeError:
        return {}
    return (
        {str(key): str(value) for key, value in content.items()}
        if isinstance(content, dict)
        else {}
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _open(files: tuple[Path, ...]) -> tuple[str, ...]:
    """Those that group or others may read."""
    found = []
    for path in files:
        with suppress(OSError):
            if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
                found.append(str(path))
    return tuple(found)
