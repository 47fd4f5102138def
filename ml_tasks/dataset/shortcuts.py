"""Controls for shortcuts: can the classes be told apart without looking at the breast's inside?

In public mammography code the pixels of view markers alone have told the classes apart. So one
classifier, fixed beforehand and the same for every data set, is given only what no diagnosis can
rest on. It is held to patients that it has not seen, as the network is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.imaging.pixels import Pixels
from ml_tasks.records import Record
from ml_tasks.storage import sha256_file, write_json

CONTROLS = "controls.json"  # in the cleaned set
OUTLINE = "the outline of the breast alone"
_SEED, _FOLDS, _TREES, _RESAMPLES = 1, 5, 400, 1000
_FEWEST = 20  # patients of the smaller class; an AUC of fewer says nothing
_MEAN_SIDE, _PEAK_SIDE = 16, 4  # of the pooled pictures that the classifier sees
_QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)


class ControlResult(Record):
    """How well the classes are told apart from one kind of picture; 0.5 is chance."""

    name: str
    images: int
    auc: float | None = None  # None: it could not be computed, see `why`
    low: float | None = None  # of the 95 % interval
    high: float | None = None
    why: str = ""
    bound: float | None = None  # above it the lower end of the interval is a warning

    @property
    def warning(self) -> bool:
        """Whether even the lower end of the interval lies above the bound."""
        return self.bound is not None and self.low is not None and self.low > self.bound

    def sentence(self) -> str:
        """For people."""
        if self.auc is None:
            return f"{self.name}: {self.why}"
        found = f"{self.name}: AUC {self.auc:.2f} [{self.low:.2f}, {self.high:.2f}]"
        if self.warning:
            return f"{found} is above {self.bound:.2f}: the classes differ in more than disease"
        return found


def removed_picture(film: Pixels, kept: Pixels, side: int) -> Pixels:
    """What cleaning took away of a film (H,H), as (side, side): black where `kept` is not 0.

    The film is as it is in the file, neither mirrored nor turned to a dark background: its form,
    side and polarity are removed too, and a control for shortcuts must be able to see them.
    """
    rest = film * (kept == 0)
    return np.asarray(cv2.resize(rest, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def control(
    name: str,
    pictures: NDArray[np.uint8],
    labels: NDArray[np.bool_],
    patients: Sequence[str],
    bound: float | None = None,
) -> ControlResult:
    """Cross-validated AUC of pictures (N,H,W) uint8, no patient on both sides of a fold.

    The interval is a bootstrap over patients, 95 %.
    """
    images = len(pictures)
    if np.ptp(pictures) == 0:
        return ControlResult(name=name, images=images, why="one constant value: nothing to learn")
    people = np.asarray(patients)
    from sklearn.metrics import roc_auc_score  # seconds to load; most stages only read the result

    rarer = min(len(set(people[labels])), len(set(people[~labels])))
    if rarer < _FEWEST:
        why = f"too few patients: {rarer} in the smaller class, {_FEWEST} are needed"
        return ControlResult(name=name, images=images, why=why)
    scores = _out_of_fold(_features(pictures), labels, people)
    low, high = _interval(scores, labels, people)
    auc = float(roc_auc_score(labels, scores))
    return ControlResult(name=name, images=images, auc=auc, low=low, high=high, bound=bound)


def write_controls(path: Path, controls: Sequence[ControlResult]) -> str:
    """Writes the controls for the stages that follow; gives the file's SHA-256."""
    write_json(path, [each.model_dump(mode="json") for each in controls])
    return sha256_file(path)


def read_outline(path: Path) -> ControlResult | None:
    """What the breast's outline alone tells of the classes, from what `write_controls` wrote."""
    controls = [ControlResult.model_validate(each) for each in json.loads(path.read_bytes())]
    return next((each for each in controls if each.name == OUTLINE), None)


def _features(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means and peaks of places, and quantiles of the whole, which no shift of a marker changes."""
    return np.stack([_of_one(picture) for picture in pictures])


def _of_one(picture: Pixels) -> NDArray[np.float32]:
    means = cv2.resize(picture, (_MEAN_SIDE, _MEAN_SIDE), interpolation=cv2.INTER_AREA)
    side = len(picture) // _PEAK_SIDE
    blocks = picture[: side * _PEAK_SIDE, : side * _PEAK_SIDE].reshape(
        _PEAK_SIDE, side, _PEAK_SIDE, side
    )
    quantiles = np.quantile(picture, _QUANTILES)
    parts = (np.asarray(means).ravel(), blocks.max(axis=(1, 3)).ravel(), quantiles)
    return np.concatenate(parts).astype(np.float32)


def _out_of_fold(
    features: NDArray[np.float32], labels: NDArray[np.bool_], patients: NDArray[np.str_]
) -> NDArray[np.float64]:
    from joblib import parallel_config
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=_SEED)
    scores = np.zeros(len(labels))
    for learned, held in folds.split(features, labels, patients):
        trees = ExtraTreesClassifier(
            _TREES,
            min_samples_leaf=3,
            max_features=0.3,
            class_weight="balanced",
            random_state=_SEED,
            n_jobs=-1,
        )
        # Threads, which the trees take in any case: of processes, joblib's usual way, a Celery
        # worker may start none, and joblib says so again and again.
        with parallel_config(backend="threading"):
            trees.fit(features[learned], labels[learned])
            scores[held] = trees.predict_proba(features[held])[:, 1]
    return scores


def _interval(
    scores: NDArray[np.float64], labels: NDArray[np.bool_], patients: NDArray[np.str_]
) -> tuple[float, float]:
    """The 95 % interval of the AUC by resampling patients, whose films belong together."""
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(_SEED)
    films = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    found = []
    for _ in range(_RESAMPLES):
        drawn = random.integers(0, len(films), len(films))
        rows = np.concatenate([films[place] for place in drawn])
        if 0 < labels[rows].sum() < len(rows):
            found.append(roc_auc_score(labels[rows], scores[rows]))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
