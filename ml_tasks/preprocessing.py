"""Stage preprocess: plan splits and shards, clean each shard, put the cleaned set together."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.dataset.assembly import look_at, write_pictures
from ml_tasks.dataset.examine_files import Examiner
from ml_tasks.dataset.film_store import FilmStore
from ml_tasks.dataset.leakage import LeakageCertificate, certify, refuse_leaks
from ml_tasks.dataset.ledger import Ledger
from ml_tasks.dataset.manifest import IndexRow, ManifestRow, class_counts, read_rows, write_rows
from ml_tasks.dataset.placement import films_of, placed_patients
from ml_tasks.dataset.same_films import as_recorded
from ml_tasks.dataset.shard import (
    clean_films,
    leakage_images,
    planned_rows,
    read_cleaned,
    shard_name,
    thumbnails,
)
from ml_tasks.dataset.shortcuts import CONTROLS, write_controls
from ml_tasks.dataset.split import balanced, check_splits, class_weights
from ml_tasks.dataset.training_data import (
    TrainingData,
    read_training_data,
    write_training_data,
)
from ml_tasks.errors import DataError, StageOrderError
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.pages.cleaning_report import cleaning_report
from ml_tasks.pages.leakage_certificate import leakage_page
from ml_tasks.records import PlanRecord, PreprocessRecord, ShardRecord, Split, ValidationRecord
from ml_tasks.release.champion import champion_of
from ml_tasks.release.production import training_data_of
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_bytes, write_json

log = logging.getLogger(__name__)

LEDGER = "ledger.jsonl"


def preprocess(run: RunPaths, config: Config) -> PreprocessRecord:
    """All three steps on this machine; writes cleaned/{train,val,test}/<Class>/<stem>.png, the
    same as arrays {train,val,test}.npy, index.csv, image_spec.json, lesions.csv, report.html with
    contact sheets, and leakage.html.

    Raises:
        DataError: a file changed since validation, a picture is in two splits or would leave its
            split, the ledger has another key or shares, or a class has too few patients to split.
        StageOrderError: validate_data has not passed in this run, or the run has noted no champion.
        StorageError: no space left; what an earlier attempt left still stands.
    """
    plan = plan_cleaning(run, config)
    for shard in range(plan.shards):
        clean_shard(run, config, shard)
    return assemble_cleaned(run, config)


def plan_cleaning(run: RunPaths, config: Config) -> PlanRecord:
    """Places every patient in a split for good and certifies that no picture is in two.

    Writes plan.csv, leakage.json and leakage.html; the ledger grows only if nothing leaks.

    Raises:
        DataError, StageOrderError: see `preprocess`.
    """
    validation = run.load(ValidationRecord)
    rows = [row for row in _snapshot(run, validation) if row.usable]
    raw, examiner = Path(validation.raw), _examiner(run, config, validation)
    ledger = Ledger.open(config.paths.splits / LEDGER, config.split)
    rows = as_recorded(rows, ledger.recorded)
    planned = planned_rows(rows, placed := placed_patients(rows, ledger))
    check_splits(planned, _two_classes(validation))
    images = leakage_images(rows, planned, raw, examiner)
    certificate = certify(run.run_id, images, _production(run, config))
    with run.writing(PlanRecord.stage) as work:
        record = PlanRecord(
            run_id=run.run_id,
            inputs=run.mark(ValidationRecord),
            plan_sha256=write_rows(work / "plan.csv", planned, IndexRow),
            films=len(planned),
            shards=min(config.cleaning.shards, len(planned)),
            leaks=len(certificate.overlaps) + len(certificate.production_overlaps),
            certificate=certificate.summary(),
        )
        write_training_data(work / "training_data.npz", run.run_id, images)
        write_json(work / "leakage.json", certificate.model_dump(mode="json"))
        pictures = thumbnails(_named(certificate), planned, examiner)
        write_bytes(work / "leakage.html", leakage_page(certificate, pictures).encode())
        run.seal(work, record)
    log.info(record.summary())
    refuse_leaks(certificate)
    ledger.commit(placed, run.run_id, validation.started_at, films_of(rows))
    return record


def clean_shard(run: RunPaths, config: Config, shard: int) -> ShardRecord:
    """Cleans the films of one shard; any number of shards gives the same cleaned set.

    Writes rows.csv (what cleaning did with each film) and films.zip.

    Raises:
        DataError: a file changed since validation.
        StageOrderError: plan_cleaning has not passed in this run, or has no such shard.
    """
    plan, planned = _plan(run)
    if shard not in range(plan.shards):
        raise StageOrderError(f"there is no shard {shard}; plan_cleaning made {plan.shards}")
    validation = run.load(ValidationRecord)
    mine = planned[shard :: plan.shards]
    raw, examiner = Path(validation.raw), _examiner(run, config, validation)
    with run.writing(f"{ShardRecord.stage}/{shard_name(shard)}") as work:
        rows_hash, films_hash = clean_films(mine, raw, examiner, work)
        record = ShardRecord(
            run_id=run.run_id,
            inputs=run.mark(PlanRecord),
            shard=shard,
            shards=plan.shards,
            films=len(mine),
            rows_sha256=rows_hash,
            films_sha256=films_hash,
        )
        run.seal(work, record)
    log.info(record.summary())
    return record


def assemble_cleaned(run: RunPaths, config: Config) -> PreprocessRecord:
    """Puts the shards together into the cleaned set and its report.

    Raises:
        StageOrderError: a shard is missing, or was made from another plan.
        StorageError: no space left; the cleaned set of an earlier attempt still stands.
    """
    plan, planned = _plan(run)
    validation = run.load(ValidationRecord)
    shards = [_shard(run, number) for number in range(plan.shards)]
    index, spec = balanced(planned, config.split), _spec(run, validation)
    store = FilmStore([folder / "films.zip" for folder in shards])
    with closing(store) as films, run.writing(PreprocessRecord.stage) as work:
        arrays = write_pictures(work, index, films)
        findings = look_at(work, index, films, read_cleaned(shards), Path(validation.raw), config)
        write_bytes(work / "image_spec.json", spec.model_dump_json(indent=2).encode())
        for name in ("leakage.json", "leakage.html", "training_data.npz"):
            shutil.copyfile(run.stage(PlanRecord.stage) / name, work / name)
        record = PreprocessRecord(
            run_id=run.run_id,
            inputs=run.mark(ValidationRecord) | run.mark(PlanRecord),
            raw=validation.raw,
            started_at=validation.started_at,
            manifest_sha256=validation.manifest_sha256,
            index_sha256=write_rows(work / "index.csv", index, IndexRow),
            arrays_sha256=arrays,
            spec_sha256=spec.sha256(),
            training_data_sha256=sha256_file(work / "training_data.npz"),
            controls_sha256=write_controls(work / CONTROLS, findings.controls),
            classes=_two_classes(validation),
            positive=config.data.positive,
            counts={s: class_counts(row for row in index if row.split is s) for s in Split},
            patients={s: len({row.patient for row in index if row.split is s}) for s in Split},
            trained_on=_shown(index),
            class_weights=class_weights(index, config.split),
            quarantined=validation.quarantined,
            certificate=plan.certificate,
            warnings=findings.warnings,
        )
        write_bytes(work / "report.html", cleaning_report(record, findings).encode())
        run.seal(work, record)
    for warning in record.warnings:
        log.warning(warning)
    log.info(record.summary())
    return record


def _production(run: RunPaths, config: Config) -> TrainingData | None:
    """The data of the model that was in production as the run began; None: there was none."""
    version = champion_of(run).version
    if version is None:
        return None
    data = read_training_data(training_data_of(config.paths.releases, version))
    return replace(data, version=version)


def _named(certificate: LeakageCertificate) -> set[str]:
    """The files of this run that stand in a certificate."""
    found = (*certificate.overlaps, *certificate.production_overlaps)
    return {side.file for overlap in found for side in (overlap.first, overlap.second)}


def _examiner(run: RunPaths, config: Config, validation: ValidationRecord) -> Examiner:
    spec = _spec(run, validation)
    return Examiner.of_this_place(spec, config.paths.cache, config.cleaning.workers)


def _spec(run: RunPaths, validation: ValidationRecord) -> ImageSpec:
    """The spec that the films were validated with."""
    path = run.unaltered(validation, "image_spec.json", validation.spec_sha256)
    return ImageSpec.model_validate_json(path.read_bytes())


def _snapshot(run: RunPaths, validation: ValidationRecord) -> list[ManifestRow]:
    if not validation.passed:
        raise DataError("the data did not pass validation; mend them and run validate_data again")
    return read_rows(
        run.unaltered(validation, "manifest.csv", validation.manifest_sha256), ManifestRow
    )


def _plan(run: RunPaths) -> tuple[PlanRecord, list[IndexRow]]:
    plan = run.load(PlanRecord)
    run.check_built_on(plan, ValidationRecord)
    if plan.leaks:
        raise DataError(f"{plan.certificate}; mend the data and run validate_data again")
    return plan, read_rows(run.unaltered(plan, "plan.csv", plan.plan_sha256), IndexRow)


def _shard(run: RunPaths, number: int) -> Path:
    """The folder of a shard, if it is complete and of this plan."""
    part = shard_name(number)
    record = run.load(ShardRecord, part)
    run.check_built_on(record, PlanRecord)
    run.unaltered(record, f"{part}/rows.csv", record.rows_sha256)
    return run.unaltered(record, f"{part}/films.zip", record.films_sha256).parent


def _two_classes(validation: ValidationRecord) -> tuple[str, str]:
    names = sorted(validation.classes)
    if len(names) != 2:
        raise DataError(f"only the class(es) {', '.join(names)} hold usable images; two are needed")
    return names[0], names[1]


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
