"""A sealed release as a function: one image file's bytes in, the release's answer out."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml_tasks.imaging.clean import CleanedImage, clean
from ml_tasks.imaging.decode import DecodedImage, decode
from ml_tasks.imaging.encode import png_bytes
from ml_tasks.imaging.pixels import Pixels
from ml_tasks.imaging.statistics import PictureStatistics, picture_statistics
from ml_tasks.inference.answer import Answer, Prediction, QualityWarning, in_words
from ml_tasks.inference.calibration import Calibration
from ml_tasks.inference.overlay import overlay_png
from ml_tasks.inference.quality import quality_warnings
from ml_tasks.inference.reference import Reference
from ml_tasks.inference.release_files import (
    calibration_of,
    classes_of,
    reference_in,
    spec_of,
    threshold_of,
)
from ml_tasks.inference.scorer import Scorer
from ml_tasks.release.bundle import read_json, verify, version_of

__all__ = ["Judged", "Prediction", "Predictor", "Wanted"]


@dataclass(frozen=True)
class Wanted:
    """What is asked for beside the answer."""

    picture: bool = False
    activation_map: bool = False


@dataclass(frozen=True)
class Judged:
    """One image, judged: the answer in both forms, and what was measured on the way."""

    prediction: Prediction
    answer: Answer
    decoded: DecodedImage
    cleaned: CleanedImage
    statistics: PictureStatistics


@dataclass(frozen=True)
class Predictor:
    """A verified, loaded release; safe to share between threads."""

    scorer: Scorer
    calibration: Calibration
    positive: str
    negative: str
    threshold: float
    version: str
    rule: str = ""  # by which the threshold was chosen, in words
    reference: Reference | None = None  # None: an older release, which holds none

    @classmethod
    def load(cls, bundle: Path, verified: bool = False, threads: int | None = None) -> Predictor:
        """Verifies a bundle against its SHA256SUMS, unless that has just been done, and loads it.

        `threads` is as in `Scorer.load`.

        Raises:
            ReleaseError: altered, incomplete, or its files contradict what the service needs.
        """
        if not verified:
            verify(bundle)
        positive, negative = classes_of(bundle)
        metrics = read_json(bundle, "metrics.json")
        return cls(
            scorer=Scorer.load(bundle / "model.onnx", spec_of(bundle), threads),
            calibration=calibration_of(bundle, metrics),
            positive=positive,
            negative=negative,
            threshold=threshold_of(bundle, metrics),
            version=version_of(bundle),
            rule=str(metrics.get("rule", "")),
            reference=reference_in(bundle, metrics),
        )

    def predict(self, data: bytes) -> Prediction:
        """The answer for one image file's bytes.

        Raises:
            ImageRejected: the file is no usable image; `code` says why.
        """
        return self.judge(data).prediction

    def judge(self, data: bytes, wanted: Wanted | None = None) -> Judged:
        """Everything about one image file's bytes; the model runs once, whatever is wanted.

        Raises:
            ImageRejected: the file is no usable image; `code` says why.
        """
        wanted = wanted or Wanted()
        decoded = decode(data, self.scorer.spec)
        cleaned = clean(decoded, self.scorer.spec)
        raw, activation = self._scored(cleaned.pixels, wanted.activation_map)
        statistics = picture_statistics(cleaned.pixels)
        prediction = self._prediction(raw)
        quality = quality_warnings(cleaned, statistics, self.reference, self.scorer.spec)
        answer = self._answer(prediction, quality).model_copy(
            update={
                "picture": _base64(png_bytes(cleaned.pixels)) if wanted.picture else None,
                "activation_map": None
                if activation is None
                else _base64(overlay_png(activation, cleaned.pixels)),
            }
        )
        return Judged(prediction, answer, decoded, cleaned, statistics)

    def _scored(self, pixels: Pixels, explained: bool) -> tuple[float, NDArray[np.float32] | None]:
        batch = pixels[np.newaxis]
        if not explained:
            return float(self.scorer.probabilities(batch)[0]), None
        probabilities, activations = self.scorer.explained(batch)
        return float(probabilities[0]), activations[0]

    def _prediction(self, raw: float) -> Prediction:
        probability = float(self.calibration.apply(np.array([raw]))[0])
        is_positive = probability >= self.threshold
        return Prediction(
            prediction=self.positive if is_positive else self.negative,
            confidence=probability if is_positive else 1 - probability,
            probability=probability,
            threshold=self.threshold,
            model_version=self.version,
        )

    def _answer(self, told: Prediction, quality: tuple[QualityWarning, ...]) -> Answer:
        return Answer(
            prediction=told.prediction,
            probability=told.probability,
            confidence=told.confidence,
            confidence_words=in_words(told.confidence),
            threshold=told.threshold,
            threshold_rule=self.rule,
            positive_class=self.positive,
            quality=quality,
        )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
