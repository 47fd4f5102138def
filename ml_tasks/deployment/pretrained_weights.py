"""The pretrained weights on a machine, and where the stack's workers look for them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ml_tasks.deployment.shared_volume import CONFIG

# As Keras calls the file of DenseNet-121 without its top; below KERAS_HOME, which is `keras` on
# the shared volume for every worker.
IMAGENET = "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"
MODELS = "keras/models"
_SETTING = re.compile(r"^model:\n(?:[ \t]+.*\n|\s*\n|#.*\n)*?[ \t]+weights:[ \t]*([^\s#]+)", re.M)


def weights_here(shared: Path) -> dict[str, Path]:
    """The files that a training may start from: place on the shared volume -> file."""
    found = {f"{MODELS}/{IMAGENET}": file for file in _downloaded(shared)[:1]}
    named = _named(shared)
    if named is not None and named.is_file():
        found[named.relative_to(shared).as_posix()] = named
    return found


def _downloaded(shared: Path) -> list[Path]:
    """Where Keras has put it: in the stack, or for who ran the pipeline without it."""
    own = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    places = [shared / MODELS / IMAGENET, own / "models" / IMAGENET]
    return [place for place in places if place.is_file()]


def _named(shared: Path) -> Path | None:
    """The file that config.yaml names as model.weights, where it lies on the shared volume."""
    config = shared / CONFIG
    match = _SETTING.search(config.read_text()) if config.exists() else None
    if match is None or match[1].strip("\"'") in ("imagenet", "none", "null"):
        return None
    inside = match[1].strip("\"'").removeprefix("/mammo/")
    path = Path(os.path.normpath(shared / inside))
    return path if path.is_relative_to(shared) else None
