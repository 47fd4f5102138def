"""Stage validate_data: every raw file measured, a Great Expectations suite held to the result."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from ml_tasks.config import Config
from ml_tasks.dataset.announcement import read_snapshot
from ml_tasks.dataset.content import data_sha256
from ml_tasks.dataset.examine_files import Examiner
from ml_tasks.dataset.expectations import FailingFile, check_expectations, failing_files
from ml_tasks.dataset.manifest import ManifestRow, class_counts, write_rows
from ml_tasks.dataset.scan import scan
from ml_tasks.errors import DataError
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.pages.validation_report import validation_report
from ml_tasks.records import ValidationRecord
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_bytes

log = logging.getLogger(__name__)


def validate_data(run: RunPaths, config: Config) -> ValidationRecord:
    """Writes manifest.csv, failing_files.csv, image_spec.json, data_docs/ and report.html.

    The manifest's hash is the run's snapshot of the data.

    Raises:
        DataError: the folder cannot be scanned, or the suite failed (the report is written first).
        StorageError: no space left.
    """
    raw, spec = config.paths.raw, ImageSpec(max_megapixels=config.data.max_megapixels)
    examiner = Examiner.of_this_place(spec, config.paths.cache, config.cleaning.workers)
    snapshot = None if config.data.snapshot is None else read_snapshot(config.data.snapshot)
    if snapshot:
        log.info("snapshot %s: exactly its %d images", snapshot.folder.name, snapshot.images)
    rows, warnings = scan(raw, config.data, examiner, snapshot)
    used = [row for row in rows if row.usable]
    if not used:
        raise DataError(
            f"none of the {len(rows)} files in {raw} is a usable image; "
            f"the first: {rows[0].path}: {rows[0].reason}. See whether this is the right folder "
            "(paths.raw, or the form's data directory), and export the images again"
        )
    log.info("holding %d usable images to the suite of Great Expectations", len(used))
    with run.writing("validate_data") as work:
        manifest_hash = write_rows(work / "manifest.csv", rows, ManifestRow)
        write_bytes(work / "image_spec.json", spec.model_dump_json(indent=2).encode())
        results = check_expectations(rows, config.data, config.validation, work / "data_docs")
        write_rows(work / "failing_files.csv", failing_files(results), FailingFile)
        unmet = [result for result in results if not result.met]
        record = ValidationRecord(
            run_id=run.run_id,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            raw=str(raw),
            manifest_sha256=manifest_hash,
            spec_sha256=sha256_file(work / "image_spec.json"),
            images=len(used),
            quarantined=len(rows) - len(used),
            classes=class_counts(used),
            patients=len({row.patient for row in used}),
            passed=not any(result.required for result in unmet),
            failures=tuple(result.sentence() for result in unmet if result.required),
            snapshot=snapshot.folder.name if snapshot else "",
            data_sha256=data_sha256(rows, snapshot.folder if snapshot else raw),
            warnings=warnings + tuple(result.sentence() for result in unmet if not result.required),
        )
        page = validation_report(record, results, rows, config.data.class_meaning)
        write_bytes(work / "report.html", page.encode())
        run.seal(work, record)
    for warning in record.warnings:
        log.warning(warning)
    log.info("%d of %d expectations met", len(results) - len(unmet), len(results))
    log.info(record.summary())
    if not record.passed:
        raise DataError(
            "the data did not pass validation:\n  "
            + "\n  ".join(record.failures)
            + f"\nSee {run.stage('validate_data') / 'report.html'}, mend the files and run again"
        )
    return record
