"""Films that need no patient, to hold an image against its own sealed bundle."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from ml_tasks.dataset.phantoms import phantom
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.errors import ReleaseError
from ml_tasks.inference.predictor import Predictor
from ml_tasks.records import Split
from ml_tasks.release.answers import TOLERANCE
from ml_tasks.release.image_trials import Sample

_SEED = 20_260_101  # the same films whenever a release is tested again


def phantom_samples(predictor: Predictor, count: int) -> list[Sample]:
    """Synthetic films and what a loaded release answers for them; the same ones each time.

    Every other film shows a lesion, the fainter ones first, so that the answers differ.

    Raises:
        ReleaseError: the release answers all of them alike, so that they would prove nothing.
    """
    samples = []
    for number in range(count):
        random = np.random.default_rng([_SEED, number])
        lesion = bool(number % 2)
        film = phantom(random, lesion, contrast=0.3 + 1.2 * number / count)
        data = cv2.imencode(".png", film)[1].tobytes()
        row = PredictionRow(
            raw=f"phantom {number}",
            label=predictor.positive if lesion else predictor.negative,
            patient=f"phantom {number}",
            split=Split.TEST,
            probability=predictor.predict(data).probability,
        )
        samples.append(Sample(row, partial(bytes, data)))
    told = [sample.expected.probability for sample in samples]
    if max(told) - min(told) <= TOLERANCE:
        raise ReleaseError(
            f"{predictor.version} gives {count} different phantoms the same probability "
            f"({told[0]:.6f}), so its image cannot be told from another; if it shall serve all the "
            f"same: mammo rollback {predictor.version}"
        )
    return samples
