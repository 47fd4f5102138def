"""Weights from an HDF5 file that may come from anywhere: looked through before Keras opens it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from ml_tasks.errors import TrainingError
from ml_tasks.model.backend import keras
from ml_tasks.model.hdf5_contents import objections
from ml_tasks.storage import sha256_file

_SUFFIXES = (".h5", ".hdf5")  # by which Keras knows the format
_STORED_SETTINGS = ("model_config", "training_config")
# What h5py raises where a file is damaged, and json where its settings are.
_DAMAGED = (OSError, KeyError, ValueError, TypeError, RuntimeError, RecursionError)
# Layers of Keras that run code from the file, or from a file beside it.
_RUN_CODE = {"Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}
_MODELS = {"Functional", "Sequential", "Model"}

Shapes = list[tuple[str, list[tuple[int, ...]]]]  # of each layer that has weights, in order


def load_weights(network: keras.Model, path: Path, remedy: str, sha256: str | None = None) -> None:
    """Puts the weights of the file into `network`; nothing is unpickled and no code of it runs.

    Raises:
        TrainingError: the file is refused (see `check_weights_file`), or is of another
            architecture; `remedy` ends the message.
    """
    check_weights_file(path, remedy, sha256)
    difference = _difference(_shapes_in(path), _shapes_of(network))
    if difference:
        raise TrainingError(f"{path} holds the weights of another network: {difference}; {remedy}")
    try:
        network.load_weights(path)
    except _DAMAGED as error:
        raise TrainingError(
            f"{path} does not hold the weights of this network ({error}); {remedy}"
        ) from error


def check_weights_file(path: Path, remedy: str, sha256: str | None = None) -> None:
    """Refuses a file that is not what it should be.

    Raises:
        TrainingError: it is missing, its hash is another, it is no HDF5 or damaged, it leads out of
            itself, holds something besides numbers, or names layers that run code.
    """
    reason = _refusal(path, sha256)
    if reason:
        raise TrainingError(f"{path} is refused: {reason}; {remedy}")


def _refusal(path: Path, sha256: str | None) -> str:
    if not path.is_file():
        return "there is no such file"
    if path.suffix not in _SUFFIXES:
        return f"its name must end in {' or '.join(_SUFFIXES)}"
    found = sha256_file(path) if sha256 else None
    if found != sha256:
        return f"its SHA-256 is {found}, and model.weights_sha256 wants {sha256}"
    if not h5py.is_hdf5(path):
        return "it is no HDF5 file"
    try:
        with h5py.File(path, "r") as file:
            complaints = [*objections(file)] or [*_code_in(file)]
    except _DAMAGED as error:
        return f"it is damaged or cut off ({error})"
    more = f", and {len(complaints) - 1} more" if len(complaints) > 1 else ""
    return complaints[0] + more if complaints else ""


def _code_in(file: h5py.File) -> Iterator[str]:
    """Layers and functions, named in the settings of a stored model, that are not Keras's own."""
    for name in _STORED_SETTINGS:
        if name in file.attrs:
            yield from _foreign(json.loads(file.attrs[name]), name)


def _foreign(settings: Any, where: str) -> Iterator[str]:
    if isinstance(settings, list):
        for entry in settings:
            yield from _foreign(entry, where)
    if not isinstance(settings, dict):
        return
    name = settings.get("class_name")
    if name is not None and not _of_keras(settings):
        yield f"its {where} names {name}, which is not one of Keras's own layers or runs code"
    for key, entry in settings.items():
        if key == "layers" and isinstance(entry, list):
            for layer in entry:
                yield from _no_layer(layer, where)
        yield from _foreign(entry, where)


def _of_keras(settings: dict[str, Any]) -> bool:
    module = settings.get("module")
    own = module is None or module == "builtins" or str(module).split(".")[0] == "keras"
    name = str(settings["class_name"])
    return own and name not in _RUN_CODE and ">" not in name and not name.startswith("__lambda")


def _no_layer(layer: Any, where: str) -> Iterator[str]:
    name = layer.get("class_name") if isinstance(layer, dict) else layer
    if not (isinstance(name, str) and (name in _MODELS or hasattr(keras.layers, name))):
        yield f"its {where} names the layer {name}, which is not one of Keras's own"


def _shapes_of(network: keras.Model) -> Shapes:
    return [
        (layer.name, [tuple(weight.shape) for weight in layer.weights])
        for layer in network.layers
        if layer.weights
    ]


def _shapes_in(path: Path) -> Shapes | None:
    """What the older of Keras's two layouts states; the newer one names no layers: None."""
    if path.name.endswith(".weights.h5"):
        return None
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            layers = [(name, root[name]) for name in _names(root, "layer_names")]
            shapes = [
                (name, [tuple(group[weight].shape) for weight in _names(group, "weight_names")])
                for name, group in layers
            ]
    except _DAMAGED as error:
        raise TrainingError(f"{path} states layers that it does not hold ({error})") from error
    return [(name, found) for name, found in shapes if found]


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names; Keras parts a long one into attribute0, attribute1, ..."""
    parts = [attribute] if attribute in group.attrs else []
    if not parts:
        numbered = (f"{attribute}{number}" for number in itertools.count())
        parts = [*itertools.takewhile(lambda name: name in group.attrs, numbered)]
    found = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in found]


def _difference(found: Shapes | None, expected: Shapes) -> str:
    """The first layer that differs, in words; layers are matched by their order, as Keras does."""
    if found is None:
        return ""
    for number, ((theirs, has), (ours, takes)) in enumerate(zip(found, expected, strict=False)):
        if has != takes:
            return (
                f"layer {number + 1} ({ours}) takes {_listed(takes)}, and the file holds "
                f"{_listed(has)} ({theirs})"
            )
    if len(found) != len(expected):
        return f"it has {len(found)} layers with weights, and this network {len(expected)}"
    return ""


def _listed(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) or "one number" for shape in shapes)
