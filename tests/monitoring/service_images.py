"""A release in production that keeps its reference, and lines as the service writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ml_tasks.config import Config, PathsConfig
from ml_tasks.config_operation import DriftConfig
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.monitoring.reference import FIGURES, ReferenceRow, keep_reference
from ml_tasks.records import Split
from ml_tasks.release.bundle import version_of
from ml_tasks.release.ledger import Move, note_move
from tests.toy_run import make_toy_bundle

NOW = datetime(2026, 3, 10, 5, 0, tzinfo=UTC)
# Mean and deviation of each figure, about as cleaned mammograms have them.
LIKE = {
    "share": (0.4, 0.1),
    "mean": (110, 20),
    "deviation": (40, 8),
    "dark": (40, 12),
    "bright": (180, 20),
    "skew": (0.05, 0.1),
    "edges": (-1, 0.5),
    "coarse": (0.7, 0.1),
    "wall": (0.8, 0.1),
    "width": (0.6, 0.1),
}


@dataclass(frozen=True)
class Scene:
    """A configuration whose production release is `version`."""

    config: Config
    version: str
    bundle: Path


def make_scene(root: Path, reference: int = 1200, **drift: Any) -> Scene:
    """A toy release that the ledger says is in production; without rows if `reference` is 0."""
    config = Config(
        paths=PathsConfig(**{name: root / name for name in PathsConfig.model_fields}),
        release=ReleaseConfig(push=False),
        drift=DriftConfig(**drift),
    )
    bundle = make_toy_bundle(root)
    version = version_of(bundle)
    reference_place = f"localhost:1/toy:{version}"
    note_move(
        config.paths.releases,
        Move(
            version=version,
            digest="sha256:" + "1" * 64,
            reference=reference_place,
            moved_at="2026-02-01T00:00:00+00:00",
            digest_before=None,
        ),
    )
    if reference:
        keep_reference(bundle, reference_rows(reference))
    return Scene(config, version, bundle)


def reference_rows(count: int) -> list[ReferenceRow]:
    """Two thirds of them trained on, half of each positive; positives score higher."""
    generator = np.random.default_rng(11)
    rows = []
    for at, figures in enumerate(pictures(count, generator)):
        split = Split.TRAIN if at % 3 else Split.TEST
        positive = bool(at % 2)
        told = float(scores(1, generator, 1.0 if positive else 0.0)[0])
        probability = None if split is Split.TRAIN else told
        rows.append(
            ReferenceRow(split=split, positive=positive, probability=probability, **figures)
        )
    return rows


def pictures(
    count: int, generator: np.random.Generator, moved: dict[str, float] | None = None
) -> list[dict[str, float]]:
    """Figures of so many pictures; `moved` shifts a figure, in standard deviations."""
    away = moved or {}
    common = generator.normal(size=count)  # brightness moves most figures together
    return [
        {
            name: round(mean + deviation * (0.6 * c + 0.8 * own + away.get(name, 0.0)), 4)
            for (name, (mean, deviation)), own in zip(
                LIKE.items(), generator.normal(size=len(LIKE)), strict=True
            )
        }
        for c in common
    ]


def scores(count: int, generator: np.random.Generator, positive_share: float = 0.5) -> Any:
    """Probabilities of a model that tells the classes apart fairly well."""
    logits = generator.normal(size=count) + np.where(
        generator.random(count) < positive_share, 1.5, -1.5
    )
    return np.round(1 / (1 + np.exp(-logits)), 4)


def lines(
    version: str,
    count: int,
    seed: int = 1,
    moved: dict[str, float] | None = None,
    positive_share: float = 0.5,
    at: datetime = NOW - timedelta(days=1),
) -> list[str]:
    """Lines of the service, one a second."""
    generator = np.random.default_rng(seed)
    told = scores(count, generator, positive_share)
    return [
        json.dumps(
            {
                "time": (at + timedelta(seconds=second)).isoformat(timespec="milliseconds"),
                "level": "info",
                "event": "statistics",
                "model_version": version,
                "prediction": "Positive" if probability >= 0.5 else "Negative",
                "probability": float(probability),
                "quality": ["unlike_training"] if second % 10 == 0 else [],
                "format": "DICOM",
                "width": 2000,
                "height": 2500,
                "bit_depth": 12,
                "inverted": False,
                "framed": False,
                "side": "left",
                "parts": 1,
                "kept_share": 0.5,
                "picture": figures,
            }
        )
        for second, (probability, figures) in enumerate(
            zip(told, pictures(count, generator, moved), strict=True)
        )
    ]


def write_lines(folder: Path, text: Iterable[str], name: str = "images.jsonl") -> Path:
    """The lines as a file of the service."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in text))
    return path


DARKER = dict.fromkeys(("mean", "dark", "bright", "deviation", "skew"), 1.0)
assert set(LIKE) == set(FIGURES)
