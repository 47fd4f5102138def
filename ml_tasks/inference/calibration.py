"""From the network's raw probability to the one that is told: prior shift, then temperature."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml_tasks.records import Record

_EDGE = 1e-7  # probabilities of 0 and 1 have no logit


class Calibration(Record):
    """logit(told) = (logit(raw) + prior_shift) / temperature; travels in the release.

    `prior_shift` takes back the log odds that balancing gave the training split; `temperature` is
    fitted on the validation split (Guo and others, On calibration of modern neural networks, ICML
    2017).
    """

    temperature: float = Field(gt=0)
    prior_shift: float  # natural log of odds
    note: str = ""  # what could not be fitted, in words; empty where all could

    def apply(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probabilities of raw ones, (N,) in 0..1 each; their order stays."""
        odds = (logits(raw) + self.prior_shift) / self.temperature
        return np.asarray(1 / (1 + np.exp(-odds)), np.float64)


def logits(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds of probabilities (N,), those of 0 and 1 kept finite."""
    inside = np.clip(probabilities, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)
