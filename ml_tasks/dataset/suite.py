"""The suite of Great Expectations: what raw mammograms must be, in words and limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_tasks.config import DataConfig, ValidationConfig

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation as GxExpectation


def raw_mammograms(data: DataConfig, limits: ValidationConfig) -> list[GxExpectation]:
    """The expectations of the suite, each with its words and the limits of the settings."""
    return [*_required(data, limits), *_advised(limits)]


def _required(data: DataConfig, limits: ValidationConfig) -> Iterator[GxExpectation]:
    """What fails the run."""
    import great_expectations.expectations as gxe

    share = data.max_quarantine_share
    yield gxe.ExpectColumnValuesToBeInSet(
        column="status",
        value_set=["ok"],
        mostly=1 - share,
        description=f"at most {share:.0%} of the files are set aside as unusable",
    )
    yield gxe.ExpectColumnValuesToBeUnique(
        column="path",
        description="each file is listed once",
    )
    yield gxe.ExpectColumnValuesToNotBeNull(
        column="patient",
        description="each usable image has a patient",
    )
    yield gxe.ExpectColumnValuesToBeNull(
        column="contradicts",
        description="no picture appears under both classes",
    )
    yield _between(
        "shorter_side",
        f"each image measures at least {data.min_side} pixels on each side",
        least=data.min_side,
    )
    yield gxe.ExpectColumnValuesToBeInSet(
        column="bit_depth",
        value_set=[*range(8, 17), 32],
        description="pixels have 8 or more bits",
    )
    yield _between(
        "brightness",
        "no image is all black or all white (mean grey level 1 to 254)",
        least=1,
        most=254,
    )
    for what, least in (
        ("patients", data.min_patients_per_class),
        ("images", limits.min_images_per_class),
    ):
        yield _between(f"{what}_in_class", f"each class has at least {least} {what}", least=least)


def _advised(limits: ValidationConfig) -> Iterator[GxExpectation]:
    """What is put into words as a warning: cleaning copes with it, but a person should look."""
    tolerated = limits.tolerated_share
    mostly = f"; {tolerated:.0%} may differ"
    low, high = limits.min_breast_share, limits.max_breast_share
    yield _between(
        "breast_share",
        f"the breast fills {low:.0%} to {high:.0%} of the film{mostly}",
        least=low,
        most=high,
        tolerated=tolerated,
    )
    yield _between(
        "label_blobs",
        f"at most {limits.max_label_blobs} labels or markers lie beside the breast{mostly}",
        most=limits.max_label_blobs,
        tolerated=tolerated,
    )
    yield _between(
        "saturation",
        f"at most {limits.max_saturation:.0%} of the breast is at an end of the grey scale{mostly}",
        most=limits.max_saturation,
        tolerated=tolerated,
    )
    yield _between(
        "sharpness",
        f"no film is blurred (sharpness at least {limits.min_sharpness:g}){mostly}",
        least=limits.min_sharpness,
        tolerated=tolerated,
    )
    for column, most, title in (
        ("inverted", limits.max_inverted_share, "are inverted (white background)"),
        ("framed", limits.max_framed_share, "have a scan frame"),
        (
            "laterality_mismatch",
            limits.max_mismatch_share,
            "show the breast at the side of the other laterality",
        ),
        ("burned_in", 0.0, "say that text is burned into the pixels"),
        ("near_duplicate", 0.0, "are near-duplicates of another one"),
    ):
        share = f"at most {most:.0%}" if most else "none"
        yield _seldom(column, most, f"{share} of the images {title}")


def _between(
    column: str,
    title: str,
    least: float | None = None,
    most: float | None = None,
    tolerated: float | None = None,
) -> GxExpectation:
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToBeBetween(
        column=column,
        min_value=least,
        max_value=most,
        mostly=1 - (tolerated or 0),
        severity="critical" if tolerated is None else "warning",
        description=title,
    )


def _seldom(column: str, most: float, title: str) -> GxExpectation:
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToBeInSet(
        column=column,
        value_set=["no"],
        mostly=1 - most,
        severity="warning",
        description=title,
    )
