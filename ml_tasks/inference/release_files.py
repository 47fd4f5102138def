"""What the files of a bundle say, each checked before anything rests on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ml_tasks.errors import ReleaseError
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.calibration import Calibration
from ml_tasks.inference.reference import Reference
from ml_tasks.release.bundle import read_json


def classes_of(bundle: Path) -> tuple[str, str]:
    """The positive and the negative class.

    Raises:
        ReleaseError: classes.json does not name two, and which is positive.
    """
    content = read_json(bundle, "classes.json")
    classes, positive = content.get("classes"), content.get("positive")
    if not (isinstance(classes, list) and len(set(classes)) == 2 and positive in classes):
        raise ReleaseError(
            f"{bundle}/classes.json must name two classes and which is positive; it says "
            f"classes {classes!r}, positive {positive!r}"
        )
    (negative,) = (name for name in classes if name != positive)
    return str(positive), str(negative)


def threshold_of(bundle: Path, metrics: Mapping[str, Any]) -> float:
    """The threshold on the calibrated probability.

    Raises:
        ReleaseError: there is none from 0 to 1.
    """
    value = metrics.get("threshold")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ReleaseError(
            f"{bundle}/metrics.json: threshold is {value!r}, not a number from 0 to 1; "
            "evaluate the model again"
        )
    return float(value)


def calibration_of(bundle: Path, metrics: Mapping[str, Any]) -> Calibration:
    """How raw probabilities become those that are told.

    Raises:
        ReleaseError: metrics.json does not hold it.
    """
    try:
        return Calibration.model_validate(metrics.get("calibration"))
    except ValidationError as error:
        raise ReleaseError(
            f"{bundle}/metrics.json: calibration is not what evaluate writes ({error}); evaluate "
            "the model again: without it the threshold means nothing"
        ) from error


def reference_in(bundle: Path, metrics: Mapping[str, Any]) -> Reference | None:
    """What the training pictures have in common; None in releases made before it was measured.

    Raises:
        ReleaseError: it is there, but not as evaluate writes it.
    """
    content = metrics.get("reference")
    if content is None:
        return None
    try:
        return Reference.model_validate(content)
    except ValidationError as error:
        raise ReleaseError(
            f"{bundle}/metrics.json: reference is not what evaluate writes ({error}); evaluate "
            "the model again"
        ) from error


def spec_of(bundle: Path) -> ImageSpec:
    """How images are prepared for the model.

    Raises:
        ReleaseError: image_spec.json is none.
    """
    try:
        return ImageSpec.model_validate(read_json(bundle, "image_spec.json"))
    except ValidationError as error:
        raise ReleaseError(f"{bundle}/image_spec.json is no image spec: {error}") from error
