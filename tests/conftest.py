"""What all tests share: a real engine, a real registry, the serving base and a real Airflow."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

import docker
import pytest

from ml_tasks.config import Config, load_config, save_config
from ml_tasks.deployment.compose import compose_program
from ml_tasks.deployment.images.image_ref import ImageRef
from ml_tasks.errors import StackError
from ml_tasks.local_stack.airflow import AirflowSettings, ensure_airflow, stop_airflow
from ml_tasks.local_stack.airflow_api import AirflowApi
from ml_tasks.local_stack.engine import (
    Engine,
    apt_get,
    ensure_engine,
    start_dockerd,
    stop_engine,
)
from ml_tasks.local_stack.registry import Registry, ensure_registry, stop_registry
from ml_tasks.storage import locked
from tests.free_ports import free_ports
from tests.waiting import PATIENT_SETTINGS

if TYPE_CHECKING:
    from tests.statsd.bridge_process import RunningBridge

# The runs in a real scheduler are shared by the tests of Airflow and of its page.
pytest_plugins = [
    "tests.airflow.shared_runs",
    "tests.airflow.questions",
    "tests.statsd.bridge_process",
    "tests.deployment.prometheus_program",
]

PROJECT = Path(__file__).resolve().parents[1]
# Downloaded wheels are kept between test runs, as `make demo` keeps them; nothing else is shared.
WHEELS = PROJECT / ".local" / "wheels"

EVERY_MINUTE = "mammography_retraining_every_minute"
# When the DAGs look by themselves; tests/dags sees that they do.
CRONS = {
    "mammography_new_data": '"*/5 * * * *"',
    "mammography_drift": '"0 5 * * *"',
    "mammography_housekeeping": '"0 5 * * 0"',
    "mammography_retraining": '"0 3 * * 1"',
}
LEAP_DAY = '"0 0 29 2 *"'


@dataclass(frozen=True)
class LocalAirflow:
    """A real `airflow standalone` on the DAGs of this checkout, with folders of its own."""

    api: AirflowApi
    settings: AirflowSettings
    config: Config
    root: Path


def pytest_configure() -> None:
    """Ended by SIGTERM, pytest would leave engine, registry and Airflow running; as by Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before xdist, which then names the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests by the fixtures that they use, so that none is forgotten."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if names & {"engine", "engine_place", "serving_base", "stack_images", "base_images"}:
            item.add_marker("docker")
        if "airflow" in names:
            item.add_marker("airflow")
        item.add_marker(pytest.mark.xdist_group(_shared_by(item)))


def _shared_by(item: pytest.Item) -> str:
    """Whom a test shares its process with (`make test` has two): one Airflow, one stack."""
    for name in ("airflow", "docker"):
        if item.get_closest_marker(name):
            return name
    return item.path.relative_to(PROJECT).as_posix()


def unavailable(reason: str) -> NoReturn:
    """Skips the test; where CI runs, everything must be there, and its lack is a failure."""
    if os.environ.get("CI", "") not in ("", "0", "false"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def install(machine: Path, package: str) -> None:
    """Installs a package of Debian's; no other test process installs or builds meanwhile."""
    with locked(machine):
        apt_get("update")
        apt_get("install", "-y", "--no-install-recommends", package)


@pytest.fixture(scope="session")
def stack_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of everything that the tests start."""
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what the test processes share; who installs or builds, holds its lock."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "machine"
    shared.mkdir(exist_ok=True)
    return shared


@pytest.fixture(scope="session")
def engine_place(machine: Path) -> Iterator[Engine]:
    """A running engine; one that the tests had to start is ended by the last who uses it."""
    user = machine / f"engine-user-{os.getpid()}"
    with locked(machine):
        found = _started_engine(machine)
        user.touch()
    if found.host is None:
        unavailable(f"needs a Docker engine: {found.reason}")
    yield found
    with locked(machine):
        user.unlink()
        if not any(machine.glob("engine-user-*")):
            stop_engine(machine)
            shutil.rmtree(machine / "engine", ignore_errors=True)


def _started_engine(machine: Path) -> Engine:
    """The machine's engine; where it does not come up, one on empty data of its own.

    What a kill has torn makes it crash, or turn for ever; and on a busy machine that has just
    installed it, it may take longer than it gives its own parts.
    """
    found = ensure_engine(machine)
    if "did not come up" not in str(found.reason):
        return found
    host = "unix:///var/run/docker.sock"
    try:
        start_dockerd(machine, host, [f"--data-root={machine / 'engine'}"])
    except StackError as error:
        return Engine(None, str(error))
    return Engine(host, started_here=True)


@pytest.fixture(scope="session")
def engine(engine_place: Engine) -> Iterator[docker.DockerClient]:
    """A client of the running engine."""
    client = engine_place.client()
    yield client
    client.close()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for a second engine: the name of a socket has 107 bytes at most."""
    with TemporaryDirectory(prefix="mammo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def compose_installed(engine_place: Engine, machine: Path) -> None:
    """docker compose, of any kind; where CI runs, Debian's docker-compose is installed."""
    try:
        compose_program()
    except StackError as error:
        if not os.environ.get("CI") or os.geteuid() != 0:
            unavailable(str(error))
        install(machine, "docker-compose")
        compose_program()


@pytest.fixture(scope="session")
def registry(stack_state: Path, machine: Path) -> Iterator[Registry]:
    """A real, empty registry on a port of its own."""
    try:
        with locked(machine):
            started = ensure_registry(stack_state, free_ports(1)[0])
    except StackError as error:
        unavailable(f"needs an image registry: {error}")
    yield started
    stop_registry(stack_state)


@pytest.fixture(scope="session")
def serving_base(engine: docker.DockerClient, machine: Path) -> str:
    """The tag of the serving base image, built if it is missing."""
    from ml_tasks.release.serving_base import ensure_serving_base

    with locked(machine):
        return ensure_serving_base(engine, WHEELS)


@pytest.fixture(scope="session")
def stack_images(engine: docker.DockerClient, machine: Path) -> tuple[ImageRef, ...]:
    """The images of Airflow's roles and workers (no CUDA), made where they are missing or old."""
    from ml_tasks.deployment.images.stack_images import ensure_stack_images

    with locked(machine):
        return ensure_stack_images(engine, WHEELS)


@pytest.fixture(scope="session")
def base_images(engine: docker.DockerClient, machine: Path) -> tuple[ImageRef, ...]:
    """The images of the services around Airflow, pulled or of Debian's packages."""
    from ml_tasks.deployment.images.base_images import ensure_base_images

    with locked(machine):
        return ensure_base_images(engine)


@pytest.fixture(scope="session")
def airflow(
    stack_state: Path,
    registry: Registry,
    statsd_bridge: RunningBridge,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LocalAirflow]:
    """A real scheduler; its configuration keeps every folder below a temporary root."""
    root = tmp_path_factory.mktemp("project")
    defaults = load_config(PROJECT / "config.yaml")
    paths = {f"paths.{name}": str(root / name) for name in type(defaults.paths).model_fields}
    overrides = {
        **paths,
        "release.registry": registry.address,
        # No pretrained weights can be had everywhere; one epoch shows that the stage works.
        "model.weights": "none",
        "training.epochs": 1,
        **PATIENT_SETTINGS,
    }
    config = load_config(PROJECT / "config.yaml", overrides)
    save_config(config, root / "config.yaml")
    _copy_dags(root)
    told = statsd_bridge.airflow_settings() | {"AIRFLOW__SCHEDULER__TI_METRICS_INTERVAL": "1"}
    settings = AirflowSettings(stack_state, free_ports(1)[0], root, root / "config.yaml", told)
    api = ensure_airflow(settings)
    yield LocalAirflow(api, settings, config, root)
    api.close()
    stop_airflow(stack_state)


def _copy_dags(root: Path) -> None:
    """The DAGs without a clock of their own, which might strike in the middle of a test; the
    retraining once more, every minute, to see its cron fire; the question to a person alone."""
    for name in ("dags", "plugins"):
        if (PROJECT / name).exists():
            shutil.copytree(
                PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__")
            )
    for name, cron in CRONS.items():
        file = root / "dags" / f"{name}.py"
        assert file.read_text().count(cron) == 1, f"{name} is scheduled otherwise"
        file.write_text(file.read_text().replace(cron, LEAP_DAY))
    for file in (PROJECT / "tests" / "airflow" / "dags").glob("*.py"):
        shutil.copy(file, root / "dags")
    text = (PROJECT / "dags" / "mammography_retraining.py").read_text()
    weekly = 'WEEKLY = "0 3 * * 1"'
    assert weekly in text
    text = text.replace(weekly, 'WEEKLY = "* * * * *"')
    text = text.replace(
        "    dag_display_name=", f'    dag_id="{EVERY_MINUTE}",\n    dag_display_name='
    )
    (root / "dags" / "every_minute.py").write_text(text)
    shutil.copy(PROJECT / "tests" / "airflow" / "approval_only.py", root / "dags")


@pytest.fixture(scope="session")
def mini_mias() -> Path:
    """The folder of real films (MAMMO_MINI_MIAS, else ../shared/data/mini-mias)."""
    beside = PROJECT.parent / "shared" / "data" / "mini-mias"
    folder = Path(os.environ.get("MAMMO_MINI_MIAS") or beside)
    if not (folder / "labels.csv").is_file():
        pytest.skip(f"needs mini-MIAS: {folder} holds no labels.csv; set MAMMO_MINI_MIAS")
    return folder
