"""A sealed release as a function: one image file's bytes in, the release's answer out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from ml_tasks.errors import ReleaseError
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.calibration import Calibration
from ml_tasks.inference.scorer import Scorer
from ml_tasks.records import Record
from ml_tasks.release.bundle import read_json, verify, version_of


class Prediction(Record):
    """The answer for one image; `confidence` is the probability of the class that was named.

    Probability and threshold are calibrated.
    """

    prediction: str
    confidence: float = Field(ge=0, le=1)
    probability: float = Field(ge=0, le=1)
    threshold: float = Field(ge=0, le=1)
    model_version: str


@dataclass(frozen=True)
class Predictor:
    """A verified, loaded release; safe to share between threads."""

    scorer: Scorer
    calibration: Calibration
    positive: str
    negative: str
    threshold: float
    version: str

    @classmethod
    def load(cls, bundle: Path) -> Predictor:
        """Verifies a bundle against its SHA256SUMS and loads it.

        Raises:
            ReleaseError: altered, incomplete, or its files contradict what the service needs.
        """
        verify(bundle)
        positive, negative = _classes(bundle)
        return cls(
            scorer=Scorer.load(bundle / "model.onnx", _spec(bundle)),
            calibration=_calibration(bundle),
            positive=positive,
            negative=negative,
            threshold=_threshold(bundle),
            version=version_of(bundle),
        )

    def predict(self, data: bytes) -> Prediction:
        """The answer for one image file's bytes.

        Raises:
            ImageRejected: the file is no usable image; `code` says why.
        """
        raw = np.array([self.scorer.probability(data)])
        probability = float(self.calibration.apply(raw)[0])
        is_positive = probability >= self.threshold
        return Prediction(
            prediction=self.positive if is_positive else self.negative,
            confidence=probability if is_positive else 1 - probability,
            probability=probability,
            threshold=self.threshold,
            model_version=self.version,
        )


def _classes(bundle: Path) -> tuple[str, str]:
    content = read_json(bundle, "classes.json")
    classes, positive = content.get("classes"), content.get("positive")
    if not (isinstance(classes, list) and len(set(classes)) == 2 and positive in classes):
        raise ReleaseError(
            f"{bundle}/classes.json must name two classes and which is positive; it says "
            f"classes {classes!r}, positive {positive!r}"
        )
    (negative,) = (name for name in classes if name != positive)
    return str(positive), str(negative)


def _threshold(bundle: Path) -> float:
    value: Any = read_json(bundle, "metrics.json").get("threshold")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ReleaseError(
            f"{bundle}/metrics.json: threshold is {value!r}, not a number from 0 to 1; "
            "evaluate the model again"
        )
    return float(value)


def _calibration(bundle: Path) -> Calibration:
    try:
        return Calibration.model_validate(read_json(bundle, "metrics.json").get("calibration"))
    except ValidationError as error:
        raise ReleaseError(
            f"{bundle}/metrics.json: calibration is not what evaluate writes ({error}); evaluate "
            "the model again: without it the threshold means nothing"
        ) from error


def _spec(bundle: Path) -> ImageSpec:
    try:
        return ImageSpec.model_validate(read_json(bundle, "image_spec.json"))
    except ValidationError as error:
        raise ReleaseError(f"{bundle}/image_spec.json is no image spec: {error}") from error
