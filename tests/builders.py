"""Makers of small test data: films, raw folders, validated runs, a toy network, a full disk."""

from __future__ import annotations

import csv
import io
import os
import struct
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ml_tasks.config import (
    Config,
    DataConfig,
    ModelConfig,
    PathsConfig,
    SplitConfig,
    ValidationConfig,
)
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.config_tracking import TrackingConfig
from ml_tasks.config_training import AugmentationConfig, TrainingConfig
from ml_tasks.dataset.examine_files import Examiner
from ml_tasks.dataset.manifest import ManifestRow, class_counts, write_rows
from ml_tasks.dataset.scan import scan
from ml_tasks.imaging.clean import clean
from ml_tasks.imaging.decode import DecodedImage
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.records import ValidationRecord
from ml_tasks.release.champion import Champion, note_champion
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_bytes

if TYPE_CHECKING:
    import keras

    from ml_tasks.model.fit import FitPlaces

Pixels = NDArray[np.uint8]
NO_CHAMPION = Champion(
    version=None, digest=None, registry=None, proof="no model was ever released: a test says so"
)
HEIGHT, WIDTH = 200, 160
NO_AUGMENTATION = AugmentationConfig(
    rotation_degrees=0, horizontal_flip=False, vertical_flip=False, shift=0, zoom=0, contrast=0
)


def film(number: int = 0, lesion: bool = False) -> Pixels:
    """A film (200,160) uint8: textured breast at the left edge on a dark ground."""
    random = np.random.default_rng(number)
    pixels = random.normal(8, 1.5, (HEIGHT, WIDTH))
    inside = breast_shape()
    pixels[inside] = random.normal(95 + number % 7, 6, int(inside.sum()))
    if lesion:
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        at = (100 + random.integers(-30, 30), 35 + random.integers(-8, 8))
        pixels[(rows - at[0]) ** 2 + (columns - at[1]) ** 2 < 15**2] += 100
    return np.clip(pixels, 0, 255).astype(np.uint8)


def cleaned_film(pixels: Pixels) -> Pixels:
    """Grey pixels (H,W) uint8, as if just decoded, cleaned to (128,128)."""
    height, width = pixels.shape
    image = DecodedImage(pixels, 1, width, height, format="PNG", mode="L", bit_depth=8)
    return clean(image, ImageSpec()).pixels


def breast_shape() -> NDArray[np.bool_]:
    """Where the breast of `film` is."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    inside: NDArray[np.bool_] = ((rows - 100) / 80) ** 2 + (columns / 90) ** 2 < 1
    return inside


def encoded(pixels: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """Pixels as the bytes of an image file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def png_chunk(kind: bytes, body: bytes = b"") -> bytes:
    """A chunk of a PNG file, with its length and checksum."""
    checked = kind + body
    return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header claims a size and that holds next to nothing."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + data + png_chunk(b"IEND")


def with_chunks(png: bytes, chunks: bytes) -> bytes:
    """A PNG file with these chunks between its header and what follows."""
    header = 33  # bytes of the signature and of IHDR, which is always as long
    return png[:header] + chunks + png[header:]


def write_raw(
    raw: Path, patients: int = 20, lesions: bool = True, number_from: int = 0, metadata: bool = True
) -> Path:
    """raw/<Class>/P<number>.png, one film each, odd numbers Positive, two sites; metadata.csv."""
    rows = []
    for number in range(number_from, number_from + patients):
        label = "Positive" if number % 2 else "Negative"
        path = raw / label / f"P{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(film(number, lesion=lesions and label == "Positive")))
        row = {"file": f"{label}/{path.name}", "label": label, "patient_id": f"P{number:03}"}
        rows.append({**row, "site": "AB"[number // 2 % 2]})
    if metadata:
        write_csv(raw / "metadata.csv", rows)
    return raw


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    """Rows of equal keys as a CSV file."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def toy_config(root: Path, **sections: Any) -> Config:
    """Settings with every folder below `root`, made for a handful of patients."""
    paths = {name: root / name for name in PathsConfig.model_fields}
    made: dict[str, Any] = {
        "paths": PathsConfig(**paths),
        "data": DataConfig(min_patients_per_class=5),
        "validation": ValidationConfig(min_images_per_class=3),
        "split": SplitConfig(validation=0.25, test=0.25),
        "model": ModelConfig(weights="none"),
        "release": ReleaseConfig(push=False),  # no registry is there to be asked for a champion
        "tracking": TrackingConfig(enabled=False),  # tests/tracking; a noting takes seconds
    }
    return Config(**made | sections)


def scanned(
    raw: Path, config: DataConfig | None = None
) -> tuple[list[ManifestRow], tuple[str, ...]]:
    """The manifest of a raw folder and its warnings; the cache lies beside the folder."""
    config = config or DataConfig()
    spec = ImageSpec(max_megapixels=config.max_megapixels)
    return scan(raw, config, Examiner(spec, raw.parent / "cache"))


def validated(run: RunPaths, config: Config, **changes: Any) -> ValidationRecord:
    """What the begin of a first run and validate_data leave, without the suite's seconds."""
    note_champion(run, NO_CHAMPION)
    spec = ImageSpec()
    rows, warnings = scan(config.paths.raw, config.data, Examiner(spec, config.paths.cache))
    usable = [row for row in rows if row.usable]
    with run.writing("validate_data") as work:
        write_bytes(work / "image_spec.json", spec.model_dump_json().encode())
        record = ValidationRecord(
            run_id=run.run_id,
            started_at="2026-01-02T03:04:05+00:00",
            raw=str(config.paths.raw),
            manifest_sha256=write_rows(work / "manifest.csv", rows, ManifestRow),
            spec_sha256=sha256_file(work / "image_spec.json"),
            images=len(usable),
            quarantined=len(rows) - len(usable),
            classes=class_counts(usable),
            patients=len({row.patient for row in usable}),
            passed=True,
            warnings=warnings,
        ).model_copy(update=changes)
        run.seal(work, record)
    return record


def prepared(config: Config, run_id: str = "r", lesions: bool = True) -> RunPaths:
    """A run of twenty patients that has been validated and cleaned."""
    from ml_tasks.preprocessing import preprocess

    run = RunPaths(config.paths.runs, run_id)
    write_raw(config.paths.raw, lesions=lesions)
    validated(run, config)
    preprocess(run, config)
    return run


def quick_training(**changes: Any) -> TrainingConfig:
    """Training that the toy network needs a second or two for."""
    made = {"batch_size": 8, "epochs": 3, "from_scratch_learning_rate": 0.02}
    return TrainingConfig.model_validate(made | changes)


def toy_network(config: ModelConfig) -> keras.Model:
    """The real network's input, output and layer names on one convolution: trains in seconds."""
    from ml_tasks.model.backend import keras

    inputs = keras.Input(config.input_shape, dtype="float32", name="image")
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    features = keras.layers.Conv2D(6, 8, strides=4, name="conv5_conv")(scaled)
    features = keras.layers.BatchNormalization(name="conv5_bn")(features)
    features = keras.layers.ReLU()(features)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    dropped = keras.layers.Dropout(config.dropout, name="dropout")(pooled)
    outputs = keras.layers.Dense(1, activation="sigmoid", name="probability")(dropped)
    return keras.Model(inputs, outputs, name="toy")


def fit_places(folder: Path, made_for: str = "these tests") -> FitPlaces:
    """Logs and checkpoints below `folder`; nobody asks to stop."""
    from ml_tasks.model.checkpoint import CheckpointStore
    from ml_tasks.model.fit import FitPlaces
    from ml_tasks.model.stopping import StopRequest

    store = CheckpointStore(folder / "checkpoint", {"the settings": made_for})
    return FitPlaces(folder / "logs", store, StopRequest())


def use_toy_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the toy in DenseNet-121's place where a network is built, for size alone."""
    monkeypatch.setattr("ml_tasks.train.build_network", toy_network)
    monkeypatch.setattr("ml_tasks.model.network.build_network", toy_network)


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """A real file system of `kib` KiB mounted at `folder`; the test is skipped without root."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Uses up what is left of a small disk."""
    with (folder / "filler").open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(4096)):
                pass
        except OSError:
            return
