"""The shared runs: sample data, real films refused, real films shipped, data that are not valid."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import docker.errors
import pytest

from ml_tasks.config import load_config, save_config
from ml_tasks.dataset.importers.data_sets import import_data_set
from ml_tasks.dataset.phantoms import write_sample
from ml_tasks.local_stack.demo import DAG_ID
from tests.airflow.runs import PATIENCE, EndedRun, finish, run_to_end

if TYPE_CHECKING:
    from tests.conftest import LocalAirflow


OPEN_GATE = {
    "gate.min_auc": 0,
    "gate.min_sensitivity": 0,
    "gate.max_ece": None,
    "gate.max_control_auc": None,
    "gate.non_inferiority": None,
}


@pytest.fixture(scope="session")
def sample_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fewer than the demo's, but enough for the default gate to pass a first model."""
    folder = tmp_path_factory.mktemp("data") / "sample"
    write_sample(folder, patients=240)
    return folder


@pytest.fixture(scope="session")
def films(mini_mias: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mini-MIAS imported as the README says; removed with pytest's temporary folders."""
    folder = tmp_path_factory.mktemp("data") / "films"
    import_data_set("mini-mias", mini_mias, folder)
    return folder


@pytest.fixture(scope="session")
def released_images(airflow: LocalAirflow, engine: docker.DockerClient) -> Iterator[None]:
    """Removes the images of the releases that the runs made; the bases stay for the next time."""
    yield
    name, registry = airflow.config.release.image, airflow.config.release.registry
    versions = [path.name for path in airflow.config.paths.releases.glob("*Z-*")]
    tags = [f"{name}:{version}" for version in versions]
    tags += [f"{registry}/{name}:{tag}" for tag in (*versions, "production")]
    for tag in tags:
        with contextlib.suppress(docker.errors.ImageNotFound):
            engine.images.remove(tag, force=True)


@pytest.fixture(scope="session")
def sample_run(
    airflow: LocalAirflow, serving_base: str, released_images: None, sample_data: Path
) -> EndedRun:
    return run_to_end(airflow, {"data_dir": str(sample_data), "epochs": 3})


@pytest.fixture(scope="session")
def unchanged_run(airflow: LocalAirflow, sample_run: EndedRun, sample_data: Path) -> EndedRun:
    """The sample run once more, before any other is completed."""
    return run_to_end(airflow, {"data_dir": str(sample_data), "epochs": 3})


@pytest.fixture(scope="session")
def invalid_run(
    airflow: LocalAirflow, sample_run: EndedRun, tmp_path_factory: pytest.TempPathFactory
) -> EndedRun:
    """A folder in which one picture lies under both classes and one file is no image."""
    folder = tmp_path_factory.mktemp("data") / "invalid"
    write_sample(folder, patients=24)
    (folder / "metadata.csv").unlink()
    picture = next((folder / "Positive").glob("*.png"))
    (folder / "Negative" / "twin.png").write_bytes(picture.read_bytes())
    (folder / "Negative" / "notes.txt").write_text("not an image")
    return run_to_end(airflow, {"data_dir": str(folder)})


@pytest.fixture(scope="session")
def refused_run(airflow: LocalAirflow, unchanged_run: EndedRun, films: Path) -> EndedRun:
    """Real films, no pretrained weights, the default gate; started by an asset event."""
    before = {run.dag_run_id for run in airflow.api.runs(DAG_ID)}
    airflow.api.post_asset_event("mammography_new_data", {"data_dir": str(films)})
    deadline = time.monotonic() + PATIENCE
    while not (new := [r for r in airflow.api.runs(DAG_ID) if r.dag_run_id not in before]):
        assert time.monotonic() < deadline, "the asset event has started no run"
        time.sleep(1)
    return finish(airflow, new[0].dag_run_id)


@pytest.fixture(scope="session")
def permitted_run(airflow: LocalAirflow, refused_run: EndedRun, films: Path) -> EndedRun:
    """The same films, cleaned in two tasks, after someone has opened the gate in both places."""
    path = airflow.settings.config
    before = path.read_text()
    save_config(load_config(path, OPEN_GATE), path)
    try:
        return run_to_end(airflow, {"data_dir": str(films), "min_accuracy": 0, "shards": 2})
    finally:
        path.write_text(before)
