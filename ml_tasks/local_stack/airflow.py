"""`airflow standalone` on SQLite as a background process, with its own ports, home and secrets."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ml_tasks.errors import StackError
from ml_tasks.local_stack import processes
from ml_tasks.local_stack.airflow_api import AirflowApi
from ml_tasks.local_stack.ports import free_ports, require_free
from ml_tasks.local_stack.terminal import step
from ml_tasks.storage import write_json

PROCESS = "airflow"
USER = "admin"
# One model trains at a time, and one release moves `production` at a time.
POOLS = {"gpu": "one training at a time", "production": "one release at a time"}
_START_SECONDS = 240.0


@dataclass(frozen=True)
class AirflowSettings:
    """What an Airflow of its own needs to know; `extra` is added to its environment."""

    state: Path
    port: int
    project: Path
    config: Path
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.state.absolute() / "airflow"

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"


def ensure_airflow(settings: AirflowSettings, say: Callable[[str], None] = step) -> AirflowApi:
    """The running Airflow of this state directory, or a new one; returns once it is healthy.

    One that runs with other settings is ended and started anew.

    Raises:
        StackError: the port is taken, or Airflow did not come up.
    """
    if processes.running(settings.state, PROCESS) is not None:
        if _as_started(settings):
            return _wait_until_healthy(settings)
        if not _holds_port(settings):
            require_free(settings.port, "AIRFLOW_PORT")  # before the running one is ended
        say("Airflow runs with other settings: starting it anew")
        stop_airflow(settings.state)
    require_free(settings.port, "AIRFLOW_PORT")
    begin = time.monotonic()
    environment = write_environment(settings)
    # A path made absolute, not resolved: .venv/bin/python is a link out of the environment.
    program = str(Path(sys.executable).absolute().parent / "airflow")
    processes.start(
        settings.state, PROCESS, [program, "standalone"], env=environment, cwd=settings.project
    )
    api = _wait_until_healthy(settings)
    say(f"Airflow is up at {settings.url} ({time.monotonic() - begin:.0f} s)")
    return api


def stop_airflow(state: Path) -> bool:
    """Ends Airflow with every child; returns whether it ran."""
    return processes.stop(state, PROCESS)


def login(settings: AirflowSettings) -> tuple[str, str]:
    """The user and the password of the Airflow page."""
    passwords = json.loads(_password_file(settings.home).read_text())
    return USER, str(passwords[USER])


def write_environment(settings: AirflowSettings) -> dict[str, str]:
    """Prepares AIRFLOW_HOME and returns the environment of its processes."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = _own_variables(settings, _secrets(settings.home), free_ports(2))
    _write_private(settings.home / "environment.json", own)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW__")}
    return {**inherited, **own}


def _own_variables(
    settings: AirflowSettings, keys: Mapping[str, str], log_ports: list[int]
) -> dict[str, str]:
    home = settings.home
    options = {
        ("core", "dags_folder"): settings.project / "dags",
        ("core", "plugins_folder"): settings.project / "plugins",
        ("core", "load_examples"): False,
        ("core", "executor"): "LocalExecutor",
        # The default forks 32 workers, each with its own copy of Airflow.
        ("core", "parallelism"): 4,
        ("core", "fernet_key"): keys["fernet"],
        ("core", "simple_auth_manager_users"): f"{USER}:admin",
        ("core", "simple_auth_manager_passwords_file"): _password_file(home),
        # Without it the tasks of a second Airflow talk to the first one.
        ("core", "execution_api_server_url"): f"{settings.url}/execution/",
        ("database", "sql_alchemy_conn"): f"sqlite:///{home / 'airflow.db'}",
        ("api", "host"): "127.0.0.1",
        ("api", "port"): settings.port,
        ("api", "base_url"): settings.url,
        ("api", "secret_key"): keys["api"],
        ("api", "workers"): 1,
        ("api_auth", "jwt_secret"): keys["jwt"],
        ("api_auth", "jwt_expiration_time"): 24 * 3600,
        # A task keeps its token while it runs, and a try of train may run for three days (the DAG's
        # execution_timeout); docker-compose.yaml sets the same.
        ("execution_api", "jwt_expiration_time"): 7 * 24 * 3600,
        # A running task outlives two minutes without the api-server and the minute in which it
        # starts; one whose worker died is noticed after four: by then nobody else trains this run.
        # Every request, the one that tells the task's end too, is tried for some 200 s.
        ("workers", "execution_api_retries"): 70,
        ("workers", "execution_api_retry_wait_min"): 1,
        ("workers", "execution_api_retry_wait_max"): 5,
        ("workers", "min_heartbeat_interval"): 2,
        ("workers", "max_failed_heartbeats"): 1,
        ("scheduler", "task_instance_heartbeat_timeout"): 240,
        ("dag_processor", "refresh_interval"): 10,
        ("dag_processor", "min_file_process_interval"): 30,
        ("dag_processor", "parsing_processes"): 1,
        ("dag_processor", "dag_bundle_storage_path"): home / "bundles",
        ("logging", "base_log_folder"): home / "logs",
        ("logging", "remote_logging"): False,
        ("logging", "colored_console_log"): False,
        ("logging", "worker_log_server_port"): log_ports[0],
        ("logging", "trigger_log_server_port"): log_ports[1],
    }
    variables = {
        f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
        for (section, name), value in options.items()
    }
    # `airflow standalone` looks for `airflow` on PATH.
    bin_folder = Path(sys.executable).absolute().parent
    return {
        **variables,
        "AIRFLOW_HOME": str(home),
        "PATH": os.pathsep.join([str(bin_folder), os.environ.get("PATH", os.defpath)]),
        # The triggerer, which tells of a late run, does not look into the DAG folder by itself.
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(settings.project / "dags"), os.environ.get("PYTHONPATH", "")])
        ),
        "MAMMO_CONFIG": str(settings.config.absolute()),
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
        "GX_ANALYTICS_ENABLED": "false",
        **settings.extra,
    }


def _started_with(settings: AirflowSettings) -> dict[str, str]:
    """The variables of the latest start; none before the first."""
    try:
        content: dict[str, str] = json.loads((settings.home / "environment.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content


def _holds_port(settings: AirflowSettings) -> bool:
    return _started_with(settings).get("AIRFLOW__API__PORT") == str(settings.port)


def _as_started(settings: AirflowSettings) -> bool:
    """Whether the running Airflow was started with these very settings."""
    before = _started_with(settings)
    ports = [
        int(before.get(f"AIRFLOW__LOGGING__{name}_LOG_SERVER_PORT", 0))
        for name in ("WORKER", "TRIGGER")
    ]
    now = _own_variables(settings, _secrets(settings.home), ports)
    of_this_shell = {"PATH": "", "PYTHONPATH": ""}
    return {**before, **of_this_shell} == {**now, **of_this_shell}


def _secrets(home: Path) -> dict[str, str]:
    """The keys of this Airflow, made once: another key would end all sessions."""
    path = home / "secrets.json"
    if not path.exists():
        fernet = urlsafe_b64encode(secrets.token_bytes(32)).decode()
        keys = {"fernet": fernet, "api": secrets.token_hex(32), "jwt": secrets.token_hex(64)}
        _write_private(path, keys)
        _write_private(_password_file(home), {USER: secrets.token_urlsafe(12)})
    content: dict[str, str] = json.loads(path.read_text())
    return content


def _password_file(home: Path) -> Path:
    return home / "simple_auth_manager_passwords.json"


def _write_private(path: Path, content: Mapping[str, str]) -> None:
    before = os.umask(0o077)
    try:
        write_json(path, dict(content))
    finally:
        os.umask(before)


def _wait_until_healthy(settings: AirflowSettings) -> AirflowApi:
    """A logged-in client, once every part of Airflow is healthy and the pools exist."""
    api = AirflowApi(settings.url, *login(settings))
    deadline = time.monotonic() + _START_SECONDS
    while unhealthy := api.unhealthy():
        started = processes.running(settings.state, PROCESS)
        if started is None or time.monotonic() > deadline:
            record = processes.recorded(settings.state, PROCESS)
            log = settings.state / "logs" / f"{PROCESS}.log" if record is None else record.log
            end = processes.tail(log, 15)
            stop_airflow(settings.state)
            raise StackError(
                f"Airflow did not come up (waiting for {', '.join(unhealthy)}); "
                f"the end of {log}:\n{end}"
            )
        time.sleep(0.5)
    for name, description in POOLS.items():
        api.ensure_pool(name, 1, description)
    return api
