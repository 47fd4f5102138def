"""The Great Expectations suite over the manifest: what raw mammograms must be."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_tasks.config import DataConfig, ValidationConfig
from ml_tasks.dataset.manifest import ManifestRow
from ml_tasks.records import Record

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations import Expectation as GxExpectation

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

_LISTED = 20  # failing files that our own report names for each expectation


class Expectation(Record):
    """One expectation and how the data met it."""

    title: str
    met: bool
    required: bool = True  # else a failure is a warning
    observed: str
    failing: tuple[str, ...] = ()
    failing_count: int = 0

    def sentence(self) -> str:
        """What was not met, with the first files that fail it."""
        named = ", ".join(self.failing[:5])
        more = f" and {self.failing_count - 5} more" if self.failing_count > 5 else ""
        files = f": {named}{more}" if named else ""
        return f"not met: {self.title}; {self.observed}{files}"


def check_expectations(
    rows: Sequence[ManifestRow], data: DataConfig, limits: ValidationConfig, docs: Path
) -> tuple[Expectation, ...]:
    """Runs the suite as one Great Expectations checkpoint; its Data Docs go to folder `docs`."""
    # It logs a hundred lines while it is imported, which takes seconds: only where a suite is run.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx
    from great_expectations.checkpoint import UpdateDataDocsAction
    from great_expectations.data_context.types.base import ProgressBarsConfig

    with tempfile.TemporaryDirectory() as folder:
        context = gx.get_context(mode="file", project_root_dir=folder)
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        asset = context.data_sources.add_pandas("raw_folder").add_dataframe_asset("manifest")
        suite = context.suites.add(gx.ExpectationSuite(name="raw_mammograms"))
        for expectation in [*_required(data, limits), *_advised(limits)]:
            suite.add_expectation(expectation)
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(
                name="manifest", data=asset.add_batch_definition_whole_dataframe("all"), suite=suite
            )
        )
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name="raw_data",
                validation_definitions=[definition],
                actions=[UpdateDataDocsAction(name="data_docs")],
                result_format={
                    "result_format": "COMPLETE",
                    "unexpected_index_column_names": ["path"],
                },
            )
        )
        outcome = checkpoint.run(batch_parameters={"dataframe": _frame(rows)})
        shutil.copytree(Path(folder) / "gx/uncommitted/data_docs/local_site", docs)
    (result,) = outcome.run_results.values()
    return tuple(_expectation(entry.to_json_dict()) for entry in result.results)


def _required(data: DataConfig, limits: ValidationConfig) -> Iterator[GxExpectation]:
    """What fails the run."""
    import great_expectations.expectations as gxe

    share = data.max_quarantine_share
    yield gxe.ExpectColumnValuesToBeInSet(
        column="status",
        value_set=["ok"],
        mostly=1 - share,
        meta={"title": f"at most {share:.0%} of the files are set aside as unusable"},
    )
    yield gxe.ExpectColumnValuesToBeUnique(
        column="path", meta={"title": "each file is listed once"}
    )
    yield gxe.ExpectColumnValuesToNotBeNull(
        column="patient", meta={"title": "each usable image has a patient"}
    )
    yield gxe.ExpectColumnValuesToBeNull(
        column="contradicts", meta={"title": "no picture appears under both classes"}
    )
    yield _between(
        "shorter_side",
        f"each image measures at least {data.min_side} pixels on each side",
        least=data.min_side,
    )
    yield gxe.ExpectColumnValuesToBeInSet(
        column="bit_depth",
        value_set=[*range(8, 17), 32],
        meta={"title": "pixels have 8 or more bits"},
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
        meta={"title": title},
    )


def _seldom(column: str, most: float, title: str) -> GxExpectation:
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToBeInSet(
        column=column,
        value_set=["no"],
        mostly=1 - most,
        severity="warning",
        meta={"title": title},
    )


def _frame(rows: Sequence[ManifestRow]) -> pd.DataFrame:
    """The manifest as the suite sees it; figures of files set aside are null and do not count."""
    import pandas as pd

    patients: dict[str, set[str]] = defaultdict(set)
    images: dict[str, int] = defaultdict(int)
    labels: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.usable:
            patients[row.label].add(row.patient)
            images[row.label] += 1
            labels[row.pixel_sha256].add(row.label)
    records: list[dict[str, Any]] = []
    for row in rows:
        record: dict[str, Any] = {
            "path": row.path,
            "label": row.label,
            "status": row.status,
            "patient": (row.patient or None) if row.usable else "set aside",
        }
        if row.usable:
            record |= _figures(row) | {
                "contradicts": "other class" if len(labels[row.pixel_sha256]) > 1 else None,
                "patients_in_class": len(patients[row.label]),
                "images_in_class": images[row.label],
            }
        records.append(record)
    return pd.DataFrame(records).astype({"path": object, "status": object, "contradicts": object})


def _figures(row: ManifestRow) -> dict[str, Any]:
    said = {True: "yes", False: "no", None: "no"}
    return {
        "shorter_side": min(row.width or 0, row.height or 0),
        "bit_depth": row.bit_depth,
        "brightness": row.brightness,
        "contrast": row.contrast,
        "breast_share": row.breast_share,
        "label_blobs": row.label_blobs,
        "saturation": row.saturation,
        "sharpness": row.sharpness,
        "inverted": said[row.inverted],
        "framed": said[row.framed],
        "laterality_mismatch": said[row.laterality_mismatch],
        "burned_in": said[row.burned_in_annotation],
        "near_duplicate": said[bool(row.near_duplicate_of)],
    }


def _expectation(entry: dict[str, Any]) -> Expectation:
    result, definition = entry["result"], entry["expectation_config"]
    failing = [str(place["path"]) for place in result.get("unexpected_index_list") or ()]
    values = sorted({str(value) for value in result.get("partial_unexpected_list") or ()})
    unexpected, total = result.get("unexpected_count", 0), result.get("element_count", 0)
    observed = f"{unexpected} of {total} files fail" if unexpected else f"holds for all {total}"
    if values and values != ["yes"]:
        observed += f" (e.g. {', '.join(values[:3])})"
    raised = entry.get("exception_info") or {}
    if raised.get("raised_exception"):
        observed = f"could not be checked: {raised.get('exception_message')}"
    return Expectation(
        title=(definition.get("meta") or {}).get("title") or definition["type"],
        met=bool(entry["success"]),
        required=definition.get("severity") != "warning" or bool(raised.get("raised_exception")),
        observed=observed,
        failing=tuple(failing[:_LISTED]),
        failing_count=len(failing),
    )
