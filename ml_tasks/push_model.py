"""Stage push_model: the smoke-tested image goes to the registry, then `production` moves to it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.errors import GateRefused, ProductionMoved, PushError, ReleaseError
from ml_tasks.records import Decision, ImageRecord, ReleaseRecord, SmokeRecord
from ml_tasks.release.bundle import add_record, verify
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.engine import DockerClient
from ml_tasks.release.image import check_release_image
from ml_tasks.release.ledger import Move, note_move, read_moves
from ml_tasks.release.registry import PushReport, digest_of, patiently, push
from ml_tasks.release.statement import attest
from ml_tasks.run_paths import RunPaths

log = logging.getLogger(__name__)


def push_model(run: RunPaths, config: Config, client: DockerClient) -> ReleaseRecord:
    """Pushes `<registry>/<image>:<version>`, verifies its digest, and moves `production` to it.

    `production` moves only from what the gate compared this model with. A re-run pushes nothing
    that is there already and ends the same.

    Raises:
        GateRefused: the gate's verdict is not PASS any more.
        ProductionMoved: something else is in production by now than the gate compared with.
        ChampionError: the release ledger is damaged, so that no move could be noted.
        StageOrderError: smoke_test is missing, or another image was built since.
        ReleaseError: the tested image is another one than the built one, or the release altered.
        PushError: the registry did not take it, after the retries of the configuration.
        EngineUnavailable: the engine stopped answering.
    """
    image, smoke = run.load(ImageRecord), run.load(SmokeRecord)
    decision = _passed(run, image)
    moves = read_moves(config.paths.releases) or []
    run.check_built_on(smoke, ImageRecord)
    _check_tested(image, smoke)
    verify(Path(image.bundle))
    check_release_image(client, image.image_id, Path(image.bundle))
    repository = f"{config.release.registry}/{config.release.image}"
    attempts = config.release.push_attempts
    before, report = _push_version(client, image, repository, attempts)
    # What the ledger says is in production may be put back into a registry that has lost it.
    lost = before is None and [move.version for move in moves[-1:]] == [image.version]
    if before not in (report.digest, decision.production) and not lost:
        raise _other_champion(before, decision, image)
    attest(config, client, image, smoke, report.digest)  # nothing serves without its statement
    moved = _move_production(client, image, repository, attempts, before, report.digest)
    if before == report.digest:  # an earlier attempt moved it, from what the gate compared with
        before = decision.production
    note_move(config.paths.releases, _move(image, repository, report.digest, before))
    with run.writing(ReleaseRecord.stage) as work:
        record = ReleaseRecord(
            run_id=run.run_id,
            inputs=run.mark(SmokeRecord),
            version=image.version,
            reference=f"{repository}:{image.version}",
            digest=report.digest,
            image_id=image.image_id,
            bytes_pushed=report.bytes_pushed,
            bytes_skipped=report.bytes_skipped,
            production_before=before,
            production=f"{repository}:{PRODUCTION}",
        )
        _add_to_release(image, smoke, record, moved)
        run.seal(work, record)
    log.info("%s", record.summary())
    return record


def _passed(run: RunPaths, image: ImageRecord) -> Decision:
    """Judged anew since the image was built, a model ships only by what the gate says now."""
    decision = run.load(Decision)
    if not decision.passed:
        raise GateRefused(f"nothing is pushed of a model that {decision.summary()}")
    run.check_built_on(image, Decision)
    return decision


def _other_champion(before: str | None, decision: Decision, image: ImageRecord) -> ProductionMoved:
    return ProductionMoved(
        f"{PRODUCTION} is {before or 'nothing'} now, but the gate compared {image.version} with "
        f"{decision.production or 'nothing, since no model was ever released'}; {PRODUCTION} was "
        "left where it is. Start a new run, which is compared with what is in production then"
    )


def _move(image: ImageRecord, repository: str, digest: str, before: str | None) -> Move:
    return Move(
        version=image.version,
        digest=digest,
        reference=f"{repository}:{image.version}",
        moved_at=datetime.now(UTC).isoformat(timespec="seconds"),
        digest_before=before,
    )


def _check_tested(image: ImageRecord, smoke: SmokeRecord) -> None:
    if smoke.image_id != image.image_id:
        raise ReleaseError(
            f"smoke_test ran {smoke.image_id[:19]}, but the built image is {image.image_id[:19]}; "
            "run smoke_test again"
        )


def _push_version(
    client: DockerClient, image: ImageRecord, repository: str, attempts: int
) -> tuple[str | None, PushReport]:
    """Pushes the version and reads it back; also gives what `production` is before it moves."""

    def attempt() -> tuple[str | None, PushReport]:
        report = push(client, image.image_id, repository, image.version)
        found = digest_of(client, repository, image.version)
        if found != report.digest:
            raise PushError(
                f"the registry holds {found} under {repository}:{image.version}, pushed was "
                f"{report.digest}"
            )
        return digest_of(client, repository, PRODUCTION), report

    try:
        return patiently(attempts, attempt)
    except PushError as error:
        raise PushError(
            f"{error}; the release is kept in {Path(image.bundle).parent}; {PRODUCTION} has not "
            "moved; start the registry and clear push_model, or run "
            f"./push_model.sh --run '{image.run_id}'"
        ) from error


def _move_production(
    client: DockerClient,
    image: ImageRecord,
    repository: str,
    attempts: int,
    before: str | None,
    digest: str,
) -> bool:
    if before == digest:
        log.info("%s points to %s already", PRODUCTION, digest)
        return False

    def attempt() -> None:
        push(client, image.image_id, repository, PRODUCTION)
        found = digest_of(client, repository, PRODUCTION)
        if found != digest:
            raise PushError(f"{repository}:{PRODUCTION} is {found}, it should be {digest}")

    try:
        patiently(attempts, attempt)
    except PushError as error:
        raise PushError(
            f"{error}; {repository}:{image.version} is pushed, but whether {PRODUCTION} moved is "
            f"not certain (it was {before}); start the registry and clear push_model, or run "
            f"./push_model.sh --run '{image.run_id}'"
        ) from error
    log.info("%s moved from %s to %s", PRODUCTION, before or "nothing", digest)
    return True


def _add_to_release(
    image: ImageRecord, smoke: SmokeRecord, record: ReleaseRecord, moved: bool
) -> None:
    bundle = Path(image.bundle)
    add_record(bundle, "smoke", smoke.model_dump(mode="json"))
    # A re-run that changed nothing adds nothing; it would only hide what stood there before.
    if moved or not (bundle.parent / "record" / "push.json").exists():
        add_record(bundle, "push", record.model_dump(mode="json"))
