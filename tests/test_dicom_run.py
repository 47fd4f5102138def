"""A run on DICOM films: patients by pseudonym, and no header value in anything that is written."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import pytest

from ml_tasks.approve import approve
from ml_tasks.build_image import build_image
from ml_tasks.config import (
    Config,
    DataConfig,
    ValidationConfig,
    save_config,
)
from ml_tasks.config_gate import GatePolicy
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.dataset.examine_files import KEY_VARIABLE
from ml_tasks.dataset.manifest import IndexRow, ManifestRow, read_rows
from ml_tasks.errors import DataError
from ml_tasks.evaluate import evaluate
from ml_tasks.gate import gate
from ml_tasks.local_stack.engine import Engine
from ml_tasks.preprocessing import preprocess
from ml_tasks.release.base_labels import base_labels
from ml_tasks.release.bundle import FILES, SUMS
from ml_tasks.release.champion import note_champion
from ml_tasks.release.serving_base import checkout_file, serving_sources
from ml_tasks.run_paths import RunPaths
from ml_tasks.serving.packages import installed
from ml_tasks.train import train
from ml_tasks.validation import validate_data
from tests.builders import NO_CHAMPION, film, quick_training, toy_config, use_toy_network
from tests.imaging.dicom_files import dicom_bytes, planted_dicom
from tests.planted_secrets import plant_secrets
from tests.traces import Piece, files_below, members, recorded, traces

KEY = "a secret of this unit"
NAMED = "JANE-DOE-19650412"  # in the names of the films, as some archives export them


def small(root: Path) -> Config:
    """Settings for a handful of patients; whatever the toy network learns passes the gate."""
    return toy_config(
        root,
        data=DataConfig(min_patients_per_class=3),
        validation=ValidationConfig(min_images_per_class=3),
        training=quick_training(epochs=1),
        gate=GatePolicy(
            min_accuracy=0, min_auc=0, min_sensitivity=0, max_ece=None, max_control_auc=None
        ),
        release=ReleaseConfig(image="mammography-planted"),
    )


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return small(tmp_path)


def write_films(config: Config, patients: int = 16) -> list[str]:
    """Two films of each patient, their headers full of strings; gives those strings."""
    strings: set[str] = set()
    for number in range(2 * patients):
        label = "Positive" if number // 2 % 2 else "Negative"
        values = film(number).astype(np.uint16) * 16
        data, planted = planted_dicom(values, patient=f"PLANTED-{number // 2:03}")
        path = config.paths.raw / label / f"{NAMED}-{number:03}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        strings |= set(planted)
    (config.paths.raw / "Positive" / "cut.dcm").write_bytes(data[: len(data) // 2])
    return sorted(strings)


@dataclass(frozen=True)
class PlantedRun:
    """A run on films full of strings, up to its gate; `said` holds all that it said."""

    run: RunPaths
    config: Config
    strings: list[str]
    said: Path

    @property
    def root(self) -> Path:
        return self.config.paths.raw.parent

    def traces(self) -> list[str]:
        """Where a string of a header, or the key, stands in what the run wrote or said."""
        return traces(self.strings, files_below(self.root, apart_from=self.config.paths.raw))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantedRun]:
    config = small(tmp_path_factory.mktemp("planted"))
    strings = [*write_films(config), KEY]
    made = PlantedRun(
        RunPaths(config.paths.runs, "r"), config, strings, config.paths.raw.parent / "said.txt"
    )
    save_config(config, made.run.config)
    note_champion(made.run, NO_CHAMPION)
    with pytest.MonkeyPatch.context() as patch, recorded(made.said):
        patch.setenv(KEY_VARIABLE, KEY)
        use_toy_network(patch)
        for stage in (validate_data, preprocess, train, evaluate, gate, approve):
            # XCom, where Airflow keeps what a task returns, gets what its stage returns, no more.
            print(stage(made.run, config).model_dump_json())  # noqa: T201
    yield made


def test_the_patients_of_a_run_are_pseudonyms_each_in_one_split(planted: PlantedRun) -> None:
    rows = read_rows(planted.run.stage("preprocess") / "index.csv", IndexRow)
    assert len(rows) == 32 and len({row.patient for row in rows}) == 16
    assert all(row.patient.startswith("p-") for row in rows)
    by_patient: dict[str, set[str]] = {}
    for row in rows:
        by_patient.setdefault(row.patient, set()).add(row.split)
    assert all(len(splits) == 1 for splits in by_patient.values())
    manifest = read_rows(planted.run.stage("validate_data") / "manifest.csv", ManifestRow)
    assert {row.format for row in manifest if row.usable} == {"DICOM"}


def test_nothing_of_a_header_stands_in_what_a_run_writes_or_says(planted: PlantedRun) -> None:
    written = {path.name for path in planted.root.rglob("*") if path.is_file()}
    assert {"model.h5", "model.onnx", "predictions.csv", "decision.json"} <= written
    assert len(list(planted.run.root.rglob("report.html"))) == 3
    assert '"verdict":"PASS"' in planted.said.read_text()
    assert planted.traces() == []


class EngineWithoutDocker:
    """Stands for an engine where only what it is given counts: it keeps the image's archive."""

    def __init__(self) -> None:
        self.images = self.containers = self
        self.archive = b""

    def get(self, name: str) -> SimpleNamespace:
        labels = base_labels(serving_sources(), checkout_file("requirements/serving.txt"))
        told = {"Size": 1, "RootFS": {"Layers": []}, "Config": {"Labels": labels}}
        return SimpleNamespace(id="sha256:0", attrs=told, labels=labels, history=list)

    def load(self, archive: IO[bytes]) -> None:
        self.archive = archive.read()

    def create(self, image: str, **_: Any) -> SimpleNamespace:
        """A container that lists what is installed here, by the code that an image has."""
        return SimpleNamespace(
            start=lambda: None,
            wait=lambda timeout: {"StatusCode": 0},
            logs=lambda **_: json.dumps(installed()),
            remove=lambda **_: None,
        )


def test_nothing_of_a_header_reaches_the_bundle_or_what_an_image_is_made_from(
    planted: PlantedRun,
) -> None:
    engine: Any = EngineWithoutDocker()
    with recorded(planted.said):
        record = build_image(planted.run, planted.config, engine)
    archive = list(members("archive", io.BytesIO(engine.archive)))
    names = {name.rsplit("!", 1)[1] for name, _ in archive}
    assert {f"release/{name}" for name in (*FILES, SUMS)} < names
    assert len(names) == len((*FILES, SUMS)) + len(["release", "layer", "config", "manifest"])
    assert {path.name for path in Path(record.bundle).iterdir()} == {*FILES, SUMS}
    assert traces(planted.strings, archive) == []
    assert planted.traces() == []


def noted(pieces: Iterable[Piece], seen: set[str]) -> Iterator[Piece]:
    """The pieces as they come, with the innermost name of each put into `seen`."""
    for name, data in pieces:
        seen.add(name.rsplit("!", 1)[-1])
        yield name, data


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return plant_secrets(tmp_path, monkeypatch)


def test_no_header_file_name_or_secret_reaches_a_layer_of_the_image(
    planted: PlantedRun,
    secrets: list[str],
    engine_place: Engine,
    serving_base: str,
    tmp_path: Path,
) -> None:
    """Of the base's layers too, and of both configurations with their history."""
    client = engine_place.client()  # one that has read the configuration with the secrets
    with recorded(planted.said):
        record = build_image(planted.run, planted.config, client)
    sought = [*planted.strings, *secrets, NAMED]
    image = client.images.get(record.image_id)
    told = json.dumps([image.attrs, image.history()]).encode()
    assert traces(sought, [("what the engine tells", told)]) == []
    with (tmp_path / "image.tar").open("w+b") as stream:
        try:
            stream.writelines(image.save())
        finally:
            client.images.remove(record.image)
            client.close()
        stream.seek(0)
        seen: set[str] = set()
        assert traces(sought, noted(members("image", stream), seen)) == []
    assert {"manifest.json", *(f"release/{name}" for name in (*FILES, SUMS))} <= seen
    assert planted.traces() == []


def test_without_a_key_the_remedy_is_told(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    write_films(config, patients=2)
    with pytest.raises(DataError, match=f"there is no key; set {KEY_VARIABLE} to a secret"):
        validate_data(RunPaths(config.paths.runs, "r"), config)


def test_a_burned_in_annotation_is_reported(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "key")
    write_films(config)
    (config.paths.raw / "Positive" / "marked.dcm").write_bytes(
        dicom_bytes(film(99).astype(np.uint16) * 16, PatientID="9", BurnedInAnnotation="YES")
    )
    run = RunPaths(config.paths.runs, "r")
    record = validate_data(run, config)
    (warning,) = [text for text in record.warnings if "burned into the pixels" in text]
    assert "Positive/marked.dcm" in warning
    assert "Positive/marked.dcm" in (run.stage("validate_data") / "report.html").read_text()
