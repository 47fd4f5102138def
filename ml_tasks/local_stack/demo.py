"""`mammo demo`: sets up everything on this machine and takes data to an answering image."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_tasks.config import Config, load_config
from ml_tasks.dataset.phantoms import is_sample, write_sample
from ml_tasks.errors import StackError
from ml_tasks.local_stack import processes, summary
from ml_tasks.local_stack.airflow import AirflowSettings, ensure_airflow
from ml_tasks.local_stack.airflow_api import AirflowApi, DagRun
from ml_tasks.local_stack.engine import Engine, ensure_engine
from ml_tasks.local_stack.follow import Follower
from ml_tasks.local_stack.mlflow_server import ensure_mlflow
from ml_tasks.local_stack.ports import port_from, require_free
from ml_tasks.local_stack.registry import ensure_registry
from ml_tasks.local_stack.service import require_service_port, start_service
from ml_tasks.local_stack.terminal import in_words, say, step
from ml_tasks.pages.site import MLFLOW as MLFLOW_AT
from ml_tasks.pages.site import TENSORBOARD as TENSORBOARD_AT
from ml_tasks.pages.tensorboard import PATH as TENSORBOARD_PATH
from ml_tasks.progress import log_to_terminal
from ml_tasks.records import ReleaseRecord
from ml_tasks.release.serving_base import ensure_serving_base
from ml_tasks.run_paths import RunPaths
from ml_tasks.tracking.place import URI, place_of

DAG_ID = "mammography_retraining"
TENSORBOARD = "tensorboard"
PROJECT = Path(__file__).resolve().parents[2]
# The demo states its own: nothing is downloaded, and phantoms are learnt in a few epochs.
WEIGHTS = "none"
SAMPLE_EPOCHS = 2


@dataclass(frozen=True)
class DemoOptions:
    """What the person asked for; ports come from the environment."""

    config: Path = PROJECT / "config.yaml"
    state: Path = PROJECT / ".local"
    data: Path | None = None
    airflow_port: int = 8080
    registry_port: int = 5000
    tensorboard_port: int = 6006
    mlflow_port: int = 5001
    service_port: int = 8001

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] = os.environ, **chosen: Any
    ) -> DemoOptions:
        """The options with AIRFLOW_PORT, REGISTRY_PORT, TENSORBOARD_PORT, MLFLOW_PORT and so on."""
        names = tuple(name for name in cls.__dataclass_fields__ if name.endswith("_port"))
        ports = {n: port_from(environment, n.upper(), getattr(cls, n)) for n in names}
        return cls(**{**ports, **chosen})


def demo(options: DemoOptions) -> int:
    """Runs the pipeline once on this machine; returns 0 if the run succeeded, else 1.

    What runs already is used again; everything stays up until `mammo stop`.

    Raises:
        StackError: a part of the stack could not be started.
        MammoError: the configuration, the data or the base image are not usable.
    """
    begin = time.monotonic()
    log_to_terminal()
    options.state.mkdir(parents=True, exist_ok=True)
    registry = f"localhost:{options.registry_port}"
    config = load_config(options.config, {"release.registry": registry})
    data, conf = _data(options, config)
    engine = ensure_engine(options.state)
    if engine.reason:
        step(f"no image will be built: {engine.reason}")
    else:
        require_service_port(options.state, engine, options.service_port)
    extra = {**_for_stages(engine, registry), **_for_mlflow(), **_for_pages(options, config)}
    settings = AirflowSettings(options.state, options.airflow_port, PROJECT, options.config, extra)
    api, mlflow = _start_all(options, config, engine, settings)
    api.wait_for_dag(DAG_ID)
    api.pause(DAG_ID, False)
    step(f"everything is up ({in_words(time.monotonic() - begin)}); starting a run on {data}")
    run = _run_to_end(api, settings, conf)
    paths = RunPaths(config.paths.runs, run.dag_run_id)
    service = _serve(options, engine, config, paths) if run.state == "success" else None
    addresses = summary.Addresses(
        airflow=f"{api.url}/dags/{DAG_ID}",
        user=api.user,
        password=api.password,
        tensorboard=f"http://localhost:{options.tensorboard_port}{TENSORBOARD_PATH}/",
        mlflow=mlflow,
        service=service,
        curl=_example(service, data),
    )
    summary.print_summary(api, DAG_ID, run, paths, addresses, settings.home)
    say(f"\n{in_words(time.monotonic() - begin)} in all")
    return 0 if run.state == "success" else 1


def _data(options: DemoOptions, config: Config) -> tuple[Path, dict[str, Any]]:
    """The folder of raw data, filled with phantoms if it is empty, and the run's settings."""
    conf: dict[str, Any] = {"weights": WEIGHTS, "force": True}  # a second demo shows it all again
    if options.data is not None:
        folder = options.data.expanduser().absolute()
        if not folder.is_dir():
            raise StackError(f"DATA={options.data} is no folder; name one with two class folders")
        return folder, {**conf, "data_dir": str(folder)}
    folder = config.paths.raw
    if not folder.exists() or not any(folder.iterdir()):
        count = write_sample(folder)
        step(f"drew {count} sample pictures into {folder} (there were no data)")
    if is_sample(folder):
        conf["epochs"] = SAMPLE_EPOCHS
    return folder, {**conf, "data_dir": str(folder)}


def _for_stages(engine: Engine, registry: str) -> dict[str, str]:
    """The environment by which the stages find engine and registry, or learn of none."""
    if engine.host is None:
        return {"SKIP_DOCKER": "1", "SKIP_DOCKER_REASON": engine.reason or ""}
    return {"DOCKER_HOST": engine.host, "MAMMO_REGISTRY": registry}


def _for_mlflow() -> dict[str, str]:
    """The server that runs are noted at, if there is one; part of what Airflow is started with."""
    return {URI: os.environ[URI]} if os.environ.get(URI) else {}


def _for_pages(options: DemoOptions, config: Config) -> dict[str, str]:
    """Where the pages in Airflow find TensorBoard, and where they send people for MLflow."""
    found = {TENSORBOARD_AT: f"http://127.0.0.1:{options.tensorboard_port}"}
    if config.tracking.enabled and place_of(config, os.environ).artifacts is not None:
        found[MLFLOW_AT] = f"http://localhost:{options.mlflow_port}"
    return found


def _start_all(
    options: DemoOptions, config: Config, engine: Engine, settings: AirflowSettings
) -> tuple[AirflowApi, str | None]:
    """Starts every part, the base image while Airflow comes up; also gives MLflow's address."""
    _ensure_tensorboard(options, config)
    mlflow = ensure_mlflow(options.state, config, options.mlflow_port)
    if engine.host is not None:
        registry = ensure_registry(options.state, options.registry_port, engine)
        step(f"the image registry answers at {registry.address} ({registry.kind})")
    with ThreadPoolExecutor(1) as pool:
        base = pool.submit(_ensure_base, options.state, engine)
        api = ensure_airflow(settings)
        base.result()
    return api, mlflow


def _ensure_base(state: Path, engine: Engine) -> None:
    if engine.host is None:
        return
    begin = time.monotonic()
    client = engine.client(timeout=600)
    try:
        reference = ensure_serving_base(client, state / "wheels")
    finally:
        client.close()
    step(f"the serving base is {reference} ({in_words(time.monotonic() - begin)})")


def _ensure_tensorboard(options: DemoOptions, config: Config) -> None:
    port = ["--port", str(options.tensorboard_port)]
    program = Path(sys.executable).absolute().parent / "tensorboard"
    where = ["--logdir", str(config.paths.runs), "--host", "127.0.0.1"]
    # The pages in Airflow pass requests on to it under the path that they came by.
    command = [str(program), *where, "--path_prefix", TENSORBOARD_PATH, *port]
    running = processes.running(options.state, TENSORBOARD)
    if running is not None and running.command == tuple(command):
        return
    processes.stop(options.state, TENSORBOARD)
    require_free(options.tensorboard_port, "TENSORBOARD_PORT")
    config.paths.runs.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    processes.start(options.state, TENSORBOARD, command, env=environment)
    step(
        f"TensorBoard is starting at http://localhost:{options.tensorboard_port}{TENSORBOARD_PATH}/"
    )


def _run_to_end(api: AirflowApi, settings: AirflowSettings, conf: dict[str, Any]) -> DagRun:
    run = api.trigger(DAG_ID, conf)
    step(f"run {run.dag_run_id}, also at {settings.url}/dags/{DAG_ID}/runs/{run.dag_run_id}")
    return Follower(api, DAG_ID, run.dag_run_id).follow()


def _serve(options: DemoOptions, engine: Engine, config: Config, paths: RunPaths) -> str | None:
    """The address of the service of `production`, if this run has moved it."""
    if engine.host is None or not paths.has(ReleaseRecord):
        return None
    release, shipped = config.release, paths.load(ReleaseRecord)
    # By digest: the engine may still know an older image as `production`.
    image = f"{release.registry}/{release.image}@{shipped.digest}"
    try:
        return start_service(
            options.state, engine, image, options.service_port, statistics=config.paths.statistics
        )
    except StackError as error:  # the run has succeeded all the same, and its summary is due
        step(f"the inference service does not run: {error}")
        return None


def _example(service: str | None, data: Path) -> str | None:
    pictures = sorted(data.glob("*/*.png")) + sorted(data.glob("*/*.jp*g"))
    if service is None:
        return None
    picture = pictures[-1] if pictures else data / "Positive" / "picture.png"
    return f"curl -F file=@{picture} {service}/inference/predict"
