"""What about an image makes its answer worth less: told with the answer, never instead of it."""

from __future__ import annotations

import numpy as np

from ml_tasks.imaging.clean import CleanedImage
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.imaging.statistics import PictureStatistics
from ml_tasks.inference.answer import Quality, QualityWarning
from ml_tasks.inference.reference import Reference

_UNSURE = 0.05  # whiteness nearer to 0 than any real film was seen (0.07)
_EDGE = 3  # columns of the reduced image that count as its edge
_CUT_SHARE = 0.25  # of the edge opposite the chest wall, along which a breast counts as cut off
_FULL = 0.98  # share of the film that no whole breast fills


def quality_warnings(
    cleaned: CleanedImage,
    statistics: PictureStatistics,
    reference: Reference | None,
    spec: ImageSpec,
) -> tuple[QualityWarning, ...]:
    """Everything that is odd about a cleaned image; without a reference nothing is unlike it."""
    found = (
        _blank(statistics, spec),
        _polarity(cleaned),
        _unlike(statistics, reference),
        _cropped(cleaned),
        _low_resolution(cleaned, spec),
    )
    return tuple(warning for warning in found if warning is not None)


def _blank(statistics: PictureStatistics, spec: ImageSpec) -> QualityWarning | None:
    if statistics.bright - statistics.dark > 2 * spec.min_contrast:
        return None
    return QualityWarning(
        code=Quality.BLANK,
        text="The breast is one grey level all over: it shows no structure that could be judged.",
    )


def _polarity(cleaned: CleanedImage) -> QualityWarning | None:
    if abs(cleaned.whiteness) < _UNSURE:
        text = "It cannot be told whether the background is black or white; it was taken to be " + (
            "white, and the film was inverted." if cleaned.inverted else "black."
        )
    elif cleaned.inverted:
        text = "The background is white: the film was inverted before it was judged."
    else:
        return None
    return QualityWarning(code=Quality.INVERTED, text=text)


def _unlike(statistics: PictureStatistics, reference: Reference | None) -> QualityWarning | None:
    if reference is None:
        return None
    distance = reference.distance(statistics)
    if distance <= reference.limit:
        return None
    return QualityWarning(
        code=Quality.UNLIKE_TRAINING,
        text="The cleaned picture is unlike those that the model learned from (distance "
        f"{distance:.1f}, at most {reference.limit:.1f} is usual): it may be no mammogram, or of "
        "another device; the answer may mean nothing.",
    )


def _cropped(cleaned: CleanedImage) -> QualityWarning | None:
    kept = cleaned.kept if cleaned.side == "left" else cleaned.kept[:, ::-1]
    along = float(np.asarray(kept[:, -_EDGE:]).any(axis=1).mean())
    if along < _CUT_SHARE and cleaned.kept_share < _FULL:
        return None
    return QualityWarning(
        code=Quality.CROPPED,
        text=f"The breast reaches the edge opposite the chest wall along {along:.0%} of it: part "
        "of it may be cut off.",
    )


def _low_resolution(cleaned: CleanedImage, spec: ImageSpec) -> QualityWarning | None:
    pixels = cleaned.geometry.square * cleaned.geometry.factor
    if pixels >= spec.side:
        return None
    return QualityWarning(
        code=Quality.LOW_RESOLUTION,
        text=f"The breast measures {pixels} pixels in the file; the model looks at {spec.side}, so "
        "the picture had to be enlarged.",
    )
