"""Whether a probability of 0.8 means eight in ten, and what makes it so: shift and temperature."""

from __future__ import annotations

import numpy as np

from ml_tasks.errors import MetricError
from ml_tasks.evaluation.metrics import Labels, Scores
from ml_tasks.inference.calibration import Calibration, logits
from ml_tasks.records import PreprocessRecord, Split

TEMPERATURES = (0.05, 20.0)  # outside of them nothing is left of what the network says


def fitted(labels: Labels, raw: Scores, shift: float) -> Calibration:
    """The calibration whose temperature suits labels (N,) and raw probabilities (N,) best.

    It minimises the negative log-likelihood of the validation images (Guo and others, ICML 2017),
    after the prior has been put right by `shift`. Where the images cannot tell, the temperature is
    1 or its largest, and the calibration's note says so.
    """
    odds = logits(raw) + shift

    def loss(log_temperature: float) -> float:
        scaled = odds / np.exp(log_temperature)
        return float(np.logaddexp(0, np.where(labels, -scaled, scaled)).mean())

    if labels.all() or not labels.any():
        note = f"the {len(labels)} validation images are of one class: the temperature stays 1"
        return Calibration(temperature=1, prior_shift=shift, note=note)
    if (odds[labels] > 0).all() and (odds[~labels] < 0).all():
        note = (
            "every validation image lies on its right side, so that ever smaller temperatures fit "
            "ever better: the temperature stays 1"
        )
        return Calibration(temperature=1, prior_shift=shift, note=note)
    from scipy.optimize import minimize_scalar

    low, high = np.log(TEMPERATURES)
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    for end, temperature, which in zip((low, high), TEMPERATURES, ("small", "larg"), strict=True):
        if loss(end) <= loss(best.x) + 1e-9:
            note = (
                f"the validation images ask for a temperature beyond {temperature:g}, the "
                f"{which}est that is allowed"
            )
            return Calibration(temperature=temperature, prior_shift=shift, note=note)
    return Calibration(temperature=float(np.exp(best.x)), prior_shift=shift)


def prior_shift(cleaned: PreprocessRecord) -> float:
    """What balancing did to the log odds of the training split, taken back.

    The network learns the share of positives that an epoch shows, with the classes' weights; the
    shift leads back to the share that the training split truly has (Elkan, The foundations of
    cost-sensitive learning, IJCAI 2001).

    Raises:
        MetricError: a class is missing from the training split.
    """
    counts, weights = cleaned.counts[Split.TRAIN], cleaned.class_weights
    shown = {name: count * weights.get(name, 1.0) for name, count in cleaned.trained_on.items()}
    for name in cleaned.classes:
        if not counts.get(name) or not shown.get(name):
            raise MetricError(
                f"the training split has no {name} image (counted {dict(counts)}, shown "
                f"{cleaned.trained_on}), so no probability can be made of its answers; add "
                "patients of this class and start a new run"
            )
    positive = cleaned.positive
    negative = next(name for name in cleaned.classes if name != positive)
    true, trained = counts[positive] / counts[negative], shown[positive] / shown[negative]
    return float(np.log(true / trained))


def calibration_slope(labels: Labels, scores: Scores) -> float:
    """The slope of a logistic regression of labels on log odds: 1 is right, below 1 too extreme.

    Van Calster and others (Calibration: the Achilles heel of predictive analytics, BMC Medicine
    2019).
    """
    # Only now: whoever merely reads metrics.json, the builder for one, does without scikit-learn.
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(logits(scores)[:, np.newaxis], labels)
    return float(model.coef_[0, 0])
