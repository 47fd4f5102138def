"""Stage push_model: the smoke-tested image goes to the registry, then `production` moves to it."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.errors import GateRefused, ReleaseError
from ml_tasks.records import Decision, ImageRecord, ReleaseRecord, SmokeRecord
from ml_tasks.release.approval import ApprovalRecord, cleared
from ml_tasks.release.audit import read_audit
from ml_tasks.release.bundle import add_record, verify
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.engine import DockerClient
from ml_tasks.release.image import check_release_image
from ml_tasks.release.ledger import read_moves
from ml_tasks.release.registry_api import Registry
from ml_tasks.release.shipping import Shipment
from ml_tasks.release.statement import attest
from ml_tasks.run_paths import RunPaths

log = logging.getLogger(__name__)


def push_model(run: RunPaths, config: Config, client: DockerClient) -> ReleaseRecord:
    """Pushes `<registry>/<image>:<version>`, verifies it there, and moves `production` to it.

    `production` moves only from what the gate compared this model with, in one step: until the very
    last request it stays where it was. A re-run pushes nothing that is there already and ends the
    same.

    Raises:
        GateRefused: neither the gate nor a person lets it ship any more.
        ProductionMoved: something else is in production by now than the gate compared with, or
            this very release was taken out of it.
        ChampionError: the release ledger is damaged, so that no move could be noted.
        AuditError: the audit log is.
        StageOrderError: smoke_test is missing, or another image was built since.
        ReleaseError: the tested image is another one than the built one, or the release altered.
        PushRefused: the registry wants another login, or holds another image as this version.
        PushError: the registry did not take it, after the retries of the configuration.
        EngineUnavailable: the engine stopped answering.
    """
    image, smoke = run.load(ImageRecord), run.load(SmokeRecord)
    # Judged or asked anew since the image was built, a model ships only by what counts now.
    decision, approval = cleared(run, config, "nothing is pushed")
    run.check_built_on(image, Decision)
    run.check_built_on(smoke, ImageRecord)
    _check_tested(image, smoke)
    verify(Path(image.bundle))
    check_release_image(client, image.image_id, Path(image.bundle))
    read_moves(config.paths.releases)  # a damaged ledger stops it before anything is pushed
    read_audit(config.paths.releases)  # and so does a damaged audit log
    shipment = Shipment(image, decision, config)
    with Registry(config.release) as registry:
        report, manifest = shipment.push_version(client, registry)
        # The image is in the registry, read back, and serves nobody yet: nothing serves without
        # its statement.
        attest(config, client, image, smoke, report.digest, approval)
        done = shipment.move_production(
            registry, manifest, partial(_check_still, run, config, (decision, approval))
        )
    with run.writing(ReleaseRecord.stage) as work:
        record = ReleaseRecord(
            run_id=run.run_id,
            inputs=run.mark(SmokeRecord),
            version=image.version,
            reference=shipment.reference,
            digest=manifest.digest,
            image_id=image.image_id,
            bytes_pushed=report.bytes_pushed,
            bytes_skipped=report.bytes_skipped,
            production_before=done.before,
            production=f"{shipment.repository}:{PRODUCTION}",
        )
        _add_to_release(image, smoke, record, done.moved)
        run.seal(work, record)
    log.info("%s", record.summary())
    return record


def _check_still(run: RunPaths, config: Config, before: tuple[Decision, ApprovalRecord]) -> None:
    """Whoever judged, asked or answered anew while it was pushed stops the move."""
    if cleared(run, config, f"{PRODUCTION} is not moved") != before:
        raise GateRefused(
            f"{PRODUCTION} is not moved: {run.run_id} was judged or answered anew while it was "
            "pushed, and what was signed tells of before; clear push_model"
        )


def _check_tested(image: ImageRecord, smoke: SmokeRecord) -> None:
    if smoke.image_id != image.image_id:
        raise ReleaseError(
            f"smoke_test ran {smoke.image_id[:19]}, but the built image is {image.image_id[:19]}; "
            "run smoke_test again"
        )


def _add_to_release(
    image: ImageRecord, smoke: SmokeRecord, record: ReleaseRecord, moved: bool
) -> None:
    bundle = Path(image.bundle)
    add_record(bundle, "smoke", smoke.model_dump(mode="json"))
    # A re-run that changed nothing adds nothing; it would only hide what stood there before.
    if moved or not (bundle.parent / "record" / "push.json").exists():
        add_record(bundle, "push", record.model_dump(mode="json"))
