"""The manifest held to the suite of Great Expectations: what was met, and which files fail."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_tasks.config import DataConfig, ValidationConfig
from ml_tasks.dataset.manifest import ManifestRow
from ml_tasks.dataset.suite import raw_mammograms
from ml_tasks.records import Record

if TYPE_CHECKING:
    import pandas as pd

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

# Data Docs cut the files of a value off after ten.
_NOTE = "Every failing file stands in failing_files.csv, beside the folder of these pages."


class FailingFile(Record):
    """A line of failing_files.csv."""

    expectation: str
    fails_the_run: bool
    file: str


class Expectation(Record):
    """One expectation and how the data met it."""

    title: str
    met: bool
    required: bool = True  # else a failure is a warning
    observed: str
    failing: tuple[str, ...] = ()  # every file that fails it

    def sentence(self) -> str:
        """What was not met, with the first files that fail it."""
        named = ", ".join(self.failing[:5])
        more = f" and {len(self.failing) - 5} more" if len(self.failing) > 5 else ""
        files = f": {named}{more}" if named else ""
        return f"not met: {self.title}; {self.observed}{files}"


def failing_files(results: Iterable[Expectation]) -> list[FailingFile]:
    """Each file with each expectation that is not met and that it fails."""
    return [
        FailingFile(expectation=result.title, fails_the_run=result.required, file=file)
        for result in results
        if not result.met
        for file in result.failing
    ]


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
        suite = context.suites.add(gx.ExpectationSuite(name="raw_mammograms", notes=_NOTE))
        for expectation in raw_mammograms(data, limits):
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
        observed += f" (found: {', '.join(values[:3])})"
    raised = entry.get("exception_info") or {}
    if raised.get("raised_exception"):
        observed = f"could not be checked: {raised.get('exception_message')}"
    return Expectation(
        title=definition["description"],
        met=bool(entry["success"]),
        required=definition.get("severity") != "warning" or bool(raised.get("raised_exception")),
        observed=observed,
        failing=tuple(failing),
    )
