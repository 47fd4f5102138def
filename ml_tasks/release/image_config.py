"""The configuration of a release image: that of its base, one layer and a few labels more.

The id of an image is the hash of this JSON, which names every layer by its hash: the same base and
the same bundle give the same bytes, and so the same id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from docker.models.images import Image

# What a container is run by. Left out is what an engine adds of its own: host names, parents.
_RUN_BY = (
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Healthcheck",
    "Shell",
)


@dataclass(frozen=True)
class BaseImage:
    """What a release image takes over of its base."""

    name: str
    id: str
    platform: dict[str, str]
    config: dict[str, Any]
    layers: tuple[str, ...]
    history: tuple[dict[str, Any], ...]  # the oldest first, as OCI has it

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.config.get("Labels", {}))


def base_image(name: str, image: Image) -> BaseImage:
    """What the engine tells of an image, in the words of an image's configuration."""
    told = image.attrs
    layers = layers_of(image)
    keys = {"architecture": "Architecture", "os": "Os", "variant": "Variant"}
    return BaseImage(
        name=name,
        id=str(image.id),
        platform={key: str(told[name]) for key, name in keys.items() if told.get(name)},
        config=run_by(image),
        layers=layers,
        history=_history(image.history(), len(layers), name),
    )


def layers_of(image: Image) -> tuple[str, ...]:
    """The hashes of an image's uncompressed layers, the lowest first."""
    return tuple(image.attrs["RootFS"].get("Layers") or ())


def run_by(image: Image) -> dict[str, Any]:
    """By what an image's containers run: user, command, environment and the like."""
    told: dict[str, Any] = image.attrs.get("Config") or {}
    return {key: told[key] for key in _RUN_BY if told.get(key)}


def release_config(
    base: BaseImage, layer: str, labels: Mapping[str, str], created: str, step: str
) -> bytes:
    """The JSON of an image that puts `layer` on the base; `step` is what its history says."""
    content: dict[str, Any] = {
        **base.platform,
        "created": created,
        "config": {**base.config, "Labels": {**base.labels, **labels}},
        "rootfs": {"type": "layers", "diff_ids": [*base.layers, layer]},
        "history": [*base.history, {"created": created, "created_by": step}],
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _history(
    told: Sequence[Mapping[str, Any]], layers: int, name: str
) -> tuple[dict[str, Any], ...]:
    """The base's history, in which as many steps have a layer as there are layers.

    An engine tells the size of a step, not whether it made a layer, and a layer that holds nothing
    but a folder has the size 0: where the count does not fit, only the layers are listed.
    """
    steps = [_step(entry) for entry in reversed(told)]
    filled = [step for step in steps if "empty_layer" not in step]
    if len(filled) == layers:
        return tuple(steps)
    return ({"created_by": f"a layer of {name}"},) * layers


def _step(entry: Mapping[str, Any]) -> dict[str, Any]:
    moment = datetime.fromtimestamp(int(entry["Created"]), UTC)
    told = {"created_by": entry.get("CreatedBy"), "comment": entry.get("Comment")}
    return {
        "created": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        **{key: value for key, value in told.items() if value},
        **({} if entry["Size"] else {"empty_layer": True}),
    }
