"""Controls for shortcuts: what can be told of the class without looking at the breast's tissue?

In public mammography data the view marker alone has told the classes apart. So a classifier that
was fixed beforehand, and never tuned to a data set, is trained on what should say nothing: on the
pixels that cleaning removed, and on the breast's silhouette. What is left outside of the breast
must be exactly black, which needs no classifier.

The classifier: 200 extremely randomised trees (Geurts, Ernst and Wehenkel, Machine Learning 2006)
on the figures of `shortcut_features`, each leaf at least 2 images. Trees take figures of any scale
and unused ones do them little harm, so nothing has to be tuned. The tests hold it to an AUC of 0.9
on planted markers 3 to 6 % of the film wide, and to chance on shuffled labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedGroupKFold

from ml_tasks.dataset.grouped_auc import auc_with_interval
from ml_tasks.dataset.shortcut_features import shortcut_features
from ml_tasks.errors import DataError
from ml_tasks.imaging.pixels import Pixels
from ml_tasks.records import Record

FOLDS = 5
LIMIT = 5000  # images; an AUC's 95 % interval is then about 0.03 wide; more only take time
# Age, density and view shape the breast and differ between classes for good reasons, so a
# silhouette may tell something. 0.69 is what view markers alone have been shown to give, a shortcut
# beyond doubt; 0.65 warns before that.
SILHOUETTE_BOUND = 0.65
SHOWN = 10  # files that an error lists
_TREES = 200


class ControlResult(Record):
    """One control; without figures where there are none, which `verdict` explains."""

    name: str  # removed, outside or silhouette
    auc: float | None = None  # None: not computed
    low: float | None = None  # of the 95 % interval
    high: float | None = None
    images: int
    patients: int | None = None  # None: the control does not ask for them
    verdict: str
    warning: bool
    files: tuple[str, ...] = ()  # in which something is left outside of the breast


@dataclass(frozen=True)
class _Tested:
    """The AUC of one control with its interval, or why there is none."""

    images: int
    patients: int
    auc: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def controls(
    removed: NDArray[np.uint8],
    outside: Iterable[Pixels],
    silhouette: NDArray[np.uint8],
    labels: Sequence[int] | NDArray[np.integer],
    patients: Sequence[str],
    files: Sequence[str],
    bound: float = SILHOUETTE_BOUND,
    seed: int = 0,
    in_all: int | None = None,
) -> tuple[ControlResult, ...]:
    """The controls `removed`, `outside` and `silhouette`, in this order.

    `removed` and `silhouette` are pictures (N,H,W) uint8 with their `labels` (0 or 1) and
    `patients`. `outside` are the finished pictures (H,W) with the breast blacked out, one by one,
    of all `files`. Where the N are a `sample` of more images, `in_all` says of how many.

    Raises:
        ValueError: the lengths differ, or a label is neither 0 nor 1.
    """
    truth = np.asarray(labels, np.int64)
    if not len(removed) == len(silhouette) == len(truth) == len(patients):
        raise ValueError("pictures, labels and patients must be of one length")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, not {sorted(set(truth.tolist()))}")
    chosen = sample(patients, seed)
    groups = np.unique(np.asarray(patients, np.str_)[chosen], return_inverse=True)[1]
    of = max(in_all or 0, len(patients))
    part = f" ({len(chosen)} of {of} images, whole patients drawn with a fixed seed)"
    note = part if of > len(chosen) else ""
    tests = [_tested(kind[chosen], truth[chosen], groups, seed) for kind in (removed, silhouette)]
    return (
        _of_removed(tests[0], note),
        outside_control(outside, files),
        _of_silhouette(tests[1], note, bound),
    )


def sample(patients: Sequence[str], seed: int = 0, limit: int = LIMIT) -> NDArray[np.intp]:
    """Which images to test, ascending: all, or those of randomly drawn patients up to `limit`.

    The same patients and seed give the same images, whatever their order; a patient stays whole.
    """
    names, groups, counts = np.unique(
        np.asarray(patients, np.str_), return_inverse=True, return_counts=True
    )
    if len(patients) <= limit:
        return np.arange(len(patients))
    drawn = np.random.default_rng(seed).permutation(len(names))
    taken = drawn[np.cumsum(counts[drawn]) <= limit]
    return np.flatnonzero(np.isin(groups, taken))


def outside_control(pictures: Iterable[Pixels], files: Sequence[str]) -> ControlResult:
    """Whether finished pictures (H,W), the breast blacked out, are exactly black all over.

    Black and no other constant: the blacked-out breast would stand out from any other.

    Raises:
        ValueError: not as many pictures as files.
    """
    left = [file for file, picture in zip(files, pictures, strict=True) if np.any(picture)]
    verdict = (
        f"something is left outside of the breast in {len(left)} of {len(files)} pictures, so the "
        "network could look at it instead of at the breast; cleaning is at fault, not the data"
        if left
        else f"exactly black outside of the breast in all {len(files)} pictures"
    )
    return ControlResult(
        name="outside",
        images=len(files),
        verdict=verdict,
        warning=bool(left),
        files=tuple(left),
    )


def refuse_remains(results: Iterable[ControlResult]) -> None:
    """Stops a run in which something is left outside of the breast.

    Raises:
        DataError: it lists the first files, their count and the remedy.
    """
    files = [file for result in results for file in result.files]
    if files:
        more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        raise DataError(
            f"cleaning left something outside of the breast in {len(files)} picture(s): "
            f"{', '.join(files[:SHOWN])}{more}; take them out of the raw folder and report them"
        )


def _of_removed(test: _Tested, note: str) -> ControlResult:
    if test.auc is None or test.low is None:
        verdict = test.reason
    elif test.low > 0.5:
        verdict = (
            "what cleaning took away tells the classes apart: a network that saw whole films could "
            "have learned that instead of disease. It is gone from the finished pictures"
        )
    else:
        verdict = "what cleaning took away does not tell the classes apart better than chance"
    return _result("removed", test, verdict + note, warning=False)


def _of_silhouette(test: _Tested, note: str, bound: float) -> ControlResult:
    """Warns past the bound only where chance is excluded: a few patients give any AUC."""
    if test.auc is None or test.low is None:
        return _result("silhouette", test, test.reason + note, warning=False)
    warning = test.auc > bound and test.low > 0.5
    if warning:
        verdict = (
            f"the breast's form alone passes the bound of {bound:g}: the classes differ in how the "
            "breasts were positioned, cropped or chosen, and a network can learn that instead of "
            "disease. Compare where the images of each class come from (site, view, age)"
        )
    elif test.low > 0.5:
        verdict = f"the breast's form alone tells something, within the bound of {bound:g}"
    else:
        verdict = "the breast's form alone does not tell the classes apart better than chance"
    return _result("silhouette", test, verdict + note, warning)


def _result(name: str, test: _Tested, verdict: str, warning: bool) -> ControlResult:
    return ControlResult(
        name=name,
        auc=test.auc,
        low=test.low,
        high=test.high,
        images=test.images,
        patients=test.patients,
        verdict=verdict,
        warning=warning,
    )


def _tested(
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    groups: NDArray[np.intp],
    seed: int,
) -> _Tested:
    """Cross-validates the classifier on pictures (N,H,W), no patient on both sides of a fold."""
    images, patients = len(labels), len(np.unique(groups))
    fewest = min(len(np.unique(groups[labels == label])) for label in (0, 1))
    if fewest < FOLDS:
        return _Tested(
            images,
            patients,
            reason=f"not computed: only {fewest} patient(s) of one class; {FOLDS} of each are "
            f"needed for {FOLDS} folds",
        )
    scores, folds = _scores(shortcut_features(pictures), labels, groups, seed)
    auc, low, high = auc_with_interval(scores, labels, groups, folds, seed)
    return _Tested(images, patients, auc, low, high)


def _scores(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.intp],
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """For each image a score by trees that saw no image of its patient, and its fold."""
    scores, folds = np.zeros(len(labels)), np.zeros(len(labels), np.intp)
    parts = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (train, test) in enumerate(parts.split(features, labels, groups)):
        trees = ExtraTreesClassifier(
            _TREES,
            max_features=0.3,
            min_samples_leaf=2,
            class_weight="balanced",
            random_state=seed,
        ).fit(features[train], labels[train])
        positive = np.flatnonzero(trees.classes_ == 1)
        scores[test] = trees.predict_proba(features[test])[:, positive].sum(axis=1)
        folds[test] = fold
    return scores, folds
