"""The settings of a run as MLflow's parameters: flat names, and nothing of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_tasks.config import Config

# Where things lie says nothing of a model; the split's key would let a reader tell the split.
_LEFT_OUT = ("paths.", "tracking.", "split.key", "cleaning.workers", "cleaning.shards")
_LENGTH = 6000  # MLflow's own limit (mlflow/utils/validation.py)


def parameters_of(config: Config) -> dict[str, str]:
    """`{"model.dropout": "0.5", ...}`; of a weights file its name without the folder."""
    return {
        name: _text(name, value)[:_LENGTH]
        for name, value in _flat(config.model_dump(mode="json"))
        if not name.startswith(_LEFT_OUT)
    }


def _flat(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict) and prefix.count(".") < 2:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(name: str, value: Any) -> str:
    if name == "model.weights":
        return Path(str(value)).name
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
