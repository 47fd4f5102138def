"""Stage preprocess: the manifest's files, cleaned to 128x128 and split by patient."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.dataset.manifest import IndexRow, ManifestRow, class_counts, read_rows, write_rows
from ml_tasks.dataset.snapshot import read_unchanged
from ml_tasks.dataset.split import balanced, check_splits, class_weights, split_of
from ml_tasks.errors import DataError, ImageRejected
from ml_tasks.imaging.clean import preprocess as clean_image
from ml_tasks.imaging.encode import png_bytes
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.progress import counted
from ml_tasks.records import PreprocessRecord, Split, ValidationRecord
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_bytes

log = logging.getLogger(__name__)


def preprocess(run: RunPaths, config: Config) -> PreprocessRecord:
    """Writes cleaned/{train,val,test}/<Class>/<stem>.png, index.csv and image_spec.json.

    Raises:
        DataError: a file changed since validation, too many show no breast, or a class has too
            few patients to split.
        StageOrderError: validate_data has not passed in this run.
        StorageError: no space left; what an earlier attempt left still stands.
    """
    validation = run.load(ValidationRecord)
    rows = _snapshot(run, validation)
    spec = ImageSpec(max_megapixels=config.data.max_megapixels)
    classes = _two_classes(validation)
    planned = _plan(rows, config)
    with run.writing("preprocess") as work:
        cleaned, aside = _clean_all(planned, Path(validation.raw), work, spec, config)
        check_splits(cleaned, classes)
        index = balanced(cleaned, config.split)
        write_bytes(work / "image_spec.json", spec.model_dump_json(indent=2).encode())
        write_rows(work / "quarantine.csv", aside, ManifestRow)
        record = PreprocessRecord(
            run_id=run.run_id,
            inputs=run.mark(ValidationRecord),
            raw=validation.raw,
            started_at=validation.started_at,
            manifest_sha256=validation.manifest_sha256,
            index_sha256=write_rows(work / "index.csv", index, IndexRow),
            spec_sha256=spec.sha256(),
            classes=classes,
            positive=config.data.positive,
            counts={s: class_counts(row for row in index if row.split is s) for s in Split},
            patients={s: len({row.patient for row in index if row.split is s}) for s in Split},
            trained_on=_shown(index),
            class_weights=class_weights(index, config.split),
            quarantined=validation.quarantined + len(aside),
        )
        run.seal(work, record)
    log.info(record.summary())
    return record


def _snapshot(run: RunPaths, validation: ValidationRecord) -> list[ManifestRow]:
    if not validation.passed:
        raise DataError("the data did not pass validation; mend them and run validate_data again")
    path = run.stage("validate_data") / "manifest.csv"
    if sha256_file(path) != validation.manifest_sha256:
        raise DataError(f"{path} was altered after validation; run validate_data again")
    return read_rows(path, ManifestRow)


def _two_classes(validation: ValidationRecord) -> tuple[str, str]:
    names = sorted(validation.classes)
    if len(names) != 2:
        raise DataError(f"only the class(es) {', '.join(names)} hold usable images; two are needed")
    return names[0], names[1]


def _plan(rows: Sequence[ManifestRow], config: Config) -> list[tuple[ManifestRow, IndexRow]]:
    """Where each usable file goes; two files of one stem get names of their own."""
    planned: dict[str, tuple[ManifestRow, IndexRow]] = {}
    for row in rows:
        if not row.usable:
            continue
        split = split_of(row.patient, config.split)
        below = Path(row.path).relative_to(row.label).with_suffix("").as_posix()
        file = f"{split.value}/{row.label}/{below}.png"
        if file in planned:
            file = f"{split.value}/{row.label}/{below}~{row.sha256[:8]}.png"
        planned[file] = (
            row,
            IndexRow(
                file=file,
                raw=row.path,
                label=row.label,
                patient=row.patient,
                split=split,
                raw_sha256=row.sha256,
            ),
        )
    return list(planned.values())


def _clean_all(
    planned: Sequence[tuple[ManifestRow, IndexRow]],
    raw: Path,
    work: Path,
    spec: ImageSpec,
    config: Config,
) -> tuple[list[IndexRow], list[ManifestRow]]:
    """Cleans every planned file; gives the rows that are in, and those set aside with a reason."""

    def clean_one(plan: tuple[ManifestRow, IndexRow]) -> str | None:
        row, place = plan
        try:
            pixels = clean_image(read_unchanged(raw / row.path, row.sha256), spec)
        except ImageRejected as rejected:
            return str(rejected)
        target = work / place.file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(png_bytes(pixels))
        return None

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        reasons = list(counted(pool.map(clean_one, planned), len(planned), "cleaned", log))
    done = [place for (_, place), reason in zip(planned, reasons, strict=True) if reason is None]
    aside = [
        row.model_copy(update={"status": "quarantined", "reason": reason})
        for (row, _), reason in zip(planned, reasons, strict=True)
        if reason is not None
    ]
    for row in aside:
        log.warning("set aside: %s: %s", row.path, row.reason)
    if len(aside) > config.data.max_quarantine_share * len(planned):
        raise DataError(
            f"{len(aside)} of {len(planned)} images show no breast "
            f"(at most {config.data.max_quarantine_share:.0%} may), e.g. {aside[0].path}: "
            f"{aside[0].reason}; take them out or raise data.max_quarantine_share"
        )
    return done, aside


def _shown(index: Sequence[IndexRow]) -> dict[str, int]:
    shown: dict[str, int] = {}
    for row in index:
        if row.split is Split.TRAIN:
            shown[row.label] = shown.get(row.label, 0) + row.copies
    return dict(sorted(shown.items()))


if __name__ == "__main__":
    import sys

    from ml_tasks.cli import clean_main

    sys.exit(clean_main())
