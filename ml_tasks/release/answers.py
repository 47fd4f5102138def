"""The trials of what a release image answers: as evaluated, by the right model, soon enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_tasks.config_release import SmokeLimits
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.errors import ReleaseError
from ml_tasks.release.trials import Trials, setting

TOLERANCE = 1e-5
_JUDGED = "run evaluate and what follows it again"


@dataclass(frozen=True)
class Judged:
    """What was judged and must answer: its version, threshold and the names of the classes."""

    version: str
    threshold: float
    positive: str
    negative: str

    def may_say(self, probability: float) -> set[str]:
        """The class by the threshold; on the very threshold, either."""
        if abs(probability - self.threshold) <= TOLERANCE:
            return {self.positive, self.negative}
        return {self.positive if probability > self.threshold else self.negative}


@dataclass(frozen=True)
class Answer:
    """One answer of the image beside the one that was evaluated; the time over HTTP."""

    expected: PredictionRow
    probability: float
    prediction: str
    version: str
    milliseconds: float

    @classmethod
    def read(cls, expected: PredictionRow, content: Any, milliseconds: float) -> Answer:
        """An answer as the service words it.

        Raises:
            ReleaseError: it lacks one of its parts.
        """
        try:
            probability = float(content["probability"])
            prediction, version = str(content["prediction"]), str(content["model_version"])
        except (KeyError, TypeError, ValueError) as error:
            raise ReleaseError(
                f"the image answers {expected.raw} with {str(content)[:200]}, which lacks "
                f"probability, prediction or model_version ({error}); it cannot be compared"
            ) from error
        return cls(expected, probability, prediction, version, milliseconds)

    @property
    def difference(self) -> float:
        """From what was evaluated; what is no number is as far off as can be."""
        found = abs(self.probability - self.expected.probability)
        return found if math.isfinite(found) else 1.0


def try_answers(answers: Sequence[Answer], judged: Judged, trials: Trials) -> float:
    """Parity with what was evaluated, the same classes, by the right model."""
    worst = max(answers, key=lambda answer: answer.difference)
    remedy = (
        f"{worst.expected.raw} is more than {TOLERANCE:g} apart from what was evaluated, "
        f"so the image is not what was judged; {_JUDGED}"
    )
    trials.at_most(f"parity of {len(answers)} images", worst.difference, TOLERANCE, "", remedy)
    wrong = [
        answer.expected.raw
        for answer in answers
        if answer.prediction not in judged.may_say(answer.expected.probability)
    ]
    trials.equal("golden predictions that differ", len(wrong), 0, f"{wrong[:3]}: {_JUDGED}")
    versions = {answer.version for answer in answers}
    trials.equal(
        "model_version", ", ".join(sorted(versions)), judged.version, "run build_image again"
    )
    return worst.difference


def try_latency(answers: Sequence[Answer], limits: SmokeLimits, trials: Trials) -> None:
    """The time of all answers but the slowest twentieth."""
    found = float(np.percentile([answer.milliseconds for answer in answers], 95))
    remedy = setting("p95_ms", "see what else this machine does")
    trials.at_most("p95 latency", round(found, 2), limits.p95_ms, "ms", remedy)
