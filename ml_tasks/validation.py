"""Stage validate_data: the raw folder as a manifest, held to a Great Expectations suite."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_tasks.config import Config, DataConfig
from ml_tasks.dataset.manifest import ManifestRow, class_counts, write_rows
from ml_tasks.dataset.scan import scan
from ml_tasks.errors import DataError
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.pages.validation_report import Expectation, validation_report
from ml_tasks.records import ValidationRecord
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import write_bytes

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations import Expectation as GxExpectation

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
log = logging.getLogger(__name__)

_LISTED = 20  # failing files that our own report names for each expectation


def validate_data(run: RunPaths, config: Config) -> ValidationRecord:
    """Writes manifest.csv, data_docs/ (HTML) and report.html; the manifest's hash is the snapshot.

    Raises:
        DataError: the folder cannot be scanned, or the suite failed (the report is written first).
    """
    raw = config.paths.raw
    spec = ImageSpec(max_megapixels=config.data.max_megapixels)
    rows, warnings = scan(raw, config.data, spec)
    if not any(row.usable for row in rows):
        raise DataError(
            f"none of the {len(rows)} files in {raw} is a usable image; "
            f"the first: {rows[0].path}: {rows[0].reason}"
        )
    with run.writing("validate_data") as work:
        manifest_hash = write_rows(work / "manifest.csv", rows, ManifestRow)
        results = check_expectations(rows, config.data, work / "data_docs")
        failures = tuple(_sentence(result) for result in results if not result.met)
        usable = [row for row in rows if row.usable]
        record = ValidationRecord(
            run_id=run.run_id,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            raw=str(raw),
            manifest_sha256=manifest_hash,
            images=len(usable),
            quarantined=len(rows) - len(usable),
            classes=class_counts(usable),
            patients=len({row.patient for row in usable}),
            passed=not failures,
            failures=failures,
            warnings=warnings,
        )
        page = validation_report(record, results, rows, config.data.class_meaning)
        write_bytes(work / "report.html", page.encode())
        run.seal(work, record)
    for warning in warnings:
        log.warning(warning)
    log.info("%d of %d expectations met", len(results) - len(failures), len(results))
    log.info(record.summary())
    if failures:
        raise DataError(
            "the data did not pass validation:\n  "
            + "\n  ".join(failures)
            + f"\nSee {run.stage('validate_data') / 'report.html'}, mend the files and run again"
        )
    return record


def check_expectations(
    rows: Sequence[ManifestRow], config: DataConfig, docs: Path
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
        for expectation in _suite(config):
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


def _suite(config: DataConfig) -> list[GxExpectation]:
    import great_expectations.expectations as gxe

    share = config.max_quarantine_share
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="status",
            value_set=["ok"],
            mostly=1 - share,
            meta={"title": f"at most {share:.0%} of the files are set aside as unusable"},
        ),
        gxe.ExpectColumnValuesToBeUnique(column="path", meta={"title": "each file is listed once"}),
        gxe.ExpectColumnValuesToNotBeNull(
            column="patient", meta={"title": "each usable image has a patient"}
        ),
        gxe.ExpectColumnValuesToBeNull(
            column="contradicts",
            meta={"title": "no picture appears under both classes"},
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="shorter_side",
            min_value=config.min_side,
            meta={"title": f"each image measures at least {config.min_side} pixels on each side"},
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="bit_depth", value_set=[8, 16, 32], meta={"title": "pixels have 8 or more bits"}
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="brightness",
            min_value=1,
            max_value=254,
            meta={"title": "no image is all black or all white (mean grey level 1 to 254)"},
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="patients_in_class",
            min_value=config.min_patients_per_class,
            meta={"title": f"each class has at least {config.min_patients_per_class} patients"},
        ),
    ]


def _frame(rows: Sequence[ManifestRow]) -> pd.DataFrame:
    """The manifest as the suite sees it; figures of files set aside are null and do not count."""
    import pandas as pd

    patients: dict[str, set[str]] = defaultdict(set)
    pictures: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.usable:
            patients[row.label].add(row.patient)
            pictures[row.pixel_sha256].add(row.label)
    records: list[dict[str, Any]] = []
    for row in rows:
        record: dict[str, Any] = {
            "path": row.path,
            "label": row.label,
            "status": row.status,
            "patient": row.patient if row.usable else "set aside",
        }
        if row.usable:
            record |= {
                "contradicts": "other class" if len(pictures[row.pixel_sha256]) > 1 else None,
                "shorter_side": min(row.width or 0, row.height or 0),
                "bit_depth": row.bit_depth,
                "brightness": row.brightness,
                "contrast": row.contrast,
                "patients_in_class": len(patients[row.label]),
            }
        records.append(record)
    return pd.DataFrame(records).astype({"path": object, "status": object, "contradicts": object})


def _expectation(entry: dict[str, Any]) -> Expectation:
    result = entry["result"]
    meta = entry["expectation_config"].get("meta") or {}
    failing = [str(place["path"]) for place in result.get("unexpected_index_list") or ()]
    values = sorted({str(value) for value in result.get("partial_unexpected_list") or ()})
    unexpected, total = result.get("unexpected_count", 0), result.get("element_count", 0)
    observed = f"{unexpected} of {total} files fail" if unexpected else f"holds for all {total}"
    if values:
        observed += f" (e.g. {', '.join(values[:3])})"
    if (entry.get("exception_info") or {}).get("raised_exception"):
        observed = f"could not be checked: {entry['exception_info'].get('exception_message')}"
    return Expectation(
        title=meta.get("title") or entry["expectation_config"]["type"],
        met=bool(entry["success"]),
        observed=observed,
        failing=tuple(failing[:_LISTED]),
        failing_count=len(failing),
    )


def _sentence(result: Expectation) -> str:
    named = ", ".join(result.failing[:5])
    more = f" and {result.failing_count - 5} more" if result.failing_count > 5 else ""
    files = f": {named}{more}" if named else ""
    return f"not met: {result.title}; {result.observed}{files}"
