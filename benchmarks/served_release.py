"""A release with the real network, for all that does not depend on what it has learned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.films import png
from ml_tasks.config import ModelConfig
from ml_tasks.dataset.phantoms import phantom
from ml_tasks.evaluation.reference import reference_of
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.release.bundle import seal

_PICTURES = 48
_CLASSES = {"classes": ["Negative", "Positive"], "positive": "Positive", "meaning": {}}
_LINEAGE = {"run_id": "benchmark", "run_started_at": "2026-01-02T03:04:05+00:00"}


@dataclass(frozen=True)
class ServedRelease:
    """A sealed release, the same model's files side by side, and raw films to send."""

    bundle: Path
    models: Path  # model.h5, model.onnx, int8.onnx
    films: tuple[bytes, ...]  # PNG files


def make_release(folder: Path) -> ServedRelease:
    """DenseNet-121 with random weights, exported and quantised as evaluate does it."""
    from ml_tasks.model.activation_map import export_explained
    from ml_tasks.model.export import save_network
    from ml_tasks.model.network import build_network
    from ml_tasks.model.quantization import quantise

    films, pictures = _films()
    models = folder / "models"
    models.mkdir(parents=True)
    network = build_network(ModelConfig(weights="none"))
    save_network(network, models / "model.h5")
    export_explained(network, models / "model.onnx")
    quantise(models / "model.onnx", models / "int8.onnx", pictures)
    return ServedRelease(_sealed(folder / "releases", models, pictures), models, films)


def _films() -> tuple[tuple[bytes, ...], NDArray[np.uint8]]:
    films = tuple(_phantom_files())
    return films, np.stack([preprocess(film, ImageSpec()) for film in films])


def _phantom_files() -> Iterator[bytes]:
    for number in range(_PICTURES):
        yield png(phantom(np.random.default_rng(number), lesion=bool(number % 2)))


def _sealed(releases: Path, models: Path, pictures: NDArray[np.uint8]) -> Path:
    reference = reference_of(pictures)
    metrics = {
        "threshold": 0.5,
        "rule": "none: a benchmark",
        "calibration": {"temperature": 1.0, "prior_shift": 0.0},
        "reference": reference.model_dump(mode="json") if reference else None,
    }
    return seal(
        releases,
        {
            "model.onnx": models / "model.onnx",
            "model.h5": models / "model.h5",
            "classes.json": json.dumps(_CLASSES).encode(),
            "image_spec.json": ImageSpec().model_dump_json().encode(),
            "metrics.json": json.dumps(metrics).encode(),
            "decision.json": b"{}",
            "model_card.md": b"research use; not a diagnosis\n",
            "lineage.json": json.dumps(_LINEAGE).encode(),
        },
    )
