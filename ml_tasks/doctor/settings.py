"""config.yaml, and the pretrained weights that it asks for."""

from __future__ import annotations

import os
from pathlib import Path

from ml_tasks.doctor.findings import Finding, ok, to_mend
from ml_tasks.doctor.place import Place
from ml_tasks.records import Record
from ml_tasks.storage import sha256_file

CONFIG, WEIGHTS = "config.yaml", "weights"
_IMAGENET = "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"
_IMAGENET_BYTES = 29_084_464
_DOWNLOAD = 'python -c "import keras; keras.applications.DenseNet121(include_top=False)"'


class WeightsFacts(Record):
    """What `model.weights` asks for, and what is there."""

    weights: str
    file: str = ""  # where it is looked for; none where no file is needed
    size: int | None = None  # bytes; None where there is no such file
    sha256: str | None = None  # found, where one is asked for
    wanted_sha256: str | None = None


def judge_config(place: Place) -> list[Finding]:
    """One line; a refusal's own words say what is wrong and what is allowed."""
    if place.refusal:
        return [to_mend(CONFIG, place.refusal, "every other line goes by the defaults meanwhile")]
    return [ok(CONFIG, f"{place.config_file} is valid")]


def look_at_weights(place: Place) -> WeightsFacts:
    """Looks for the file; its hash is computed only where config.yaml states one."""
    model = place.config.model
    if model.weights == "none":
        return WeightsFacts(weights="none")
    wanted = model.weights_sha256
    path = Path(model.weights)
    if model.weights == "imagenet":
        home = place.environment.get("KERAS_HOME") or Path.home() / ".keras"
        path = Path(home) / "models" / _IMAGENET
    readable = path.is_file() and os.access(path, os.R_OK)
    return WeightsFacts(
        weights=model.weights,
        file=str(path),
        size=path.stat().st_size if readable else None,
        sha256=sha256_file(path) if readable and wanted else None,
        wanted_sha256=wanted,
    )


def judge_weights(facts: WeightsFacts) -> list[Finding]:
    """One line."""
    if facts.weights == "none":
        return [ok(WEIGHTS, "none are asked for: trains from scratch")]
    if facts.weights == "imagenet":
        return [_imagenet(facts)]
    if facts.size is None:
        remedy = "put the file there, or set model.weights"
        return [to_mend(WEIGHTS, f"{facts.file} cannot be read", remedy)]
    if facts.sha256 != facts.wanted_sha256:
        words = f"{facts.file} has SHA-256 {facts.sha256}, model.weights_sha256 is another"
        return [to_mend(WEIGHTS, words, "fetch the right file, or correct model.weights_sha256")]
    checked = " with the SHA-256 that config.yaml states" if facts.wanted_sha256 else ""
    return [ok(WEIGHTS, f"{facts.file} is there{checked}")]


def _imagenet(facts: WeightsFacts) -> Finding:
    if facts.size is None:
        return to_mend(
            WEIGHTS,
            f"the ImageNet weights are not in Keras's cache ({facts.file})",
            f"where there is a network: {_DOWNLOAD}; or copy the file there; or set model.weights "
            "to a file or `none`",
        )
    if facts.size < _IMAGENET_BYTES // 2:
        words = f"{facts.file} has {facts.size} bytes: its download was cut off"
        return to_mend(WEIGHTS, words, f"remove it, then {_DOWNLOAD}")
    return ok(WEIGHTS, "the ImageNet weights are in Keras's cache")
