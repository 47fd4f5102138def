"""Stage rollback: a release of before is chosen, smoke-tested by its digest, and serves again."""

from __future__ import annotations

import logging
from contextlib import closing

from ml_tasks.config import Config
from ml_tasks.errors import ReleaseError, StageSkipped
from ml_tasks.inference.predictor import Predictor
from ml_tasks.records import Record, Trial
from ml_tasks.release.answers import TOLERANCE, Judged
from ml_tasks.release.audit import PIPELINE, Deed, read_audit
from ml_tasks.release.bundle import add_record, bundle_of
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.engine import DockerClient, connect
from ml_tasks.release.image_trials import FEWEST, try_image
from ml_tasks.release.ledger import Move, move_to, read_moves
from ml_tasks.release.phantom_samples import phantom_samples
from ml_tasks.release.registry_api import Registry
from ml_tasks.release.returnable import as_table, choose_release, returnable_releases
from ml_tasks.release.rollback import Unmoved, roll_back
from ml_tasks.release.trials import Trials
from ml_tasks.release.verified import verified_image
from ml_tasks.tracking.process import register_meanwhile

log = logging.getLogger(__name__)

LEAST_REASON = 3  # letters, as the form says, too
RETESTED = "retested"  # the note of such a test in the release's record
_BACK = Deed.ROLLED_BACK


class Choice(Record):
    """Which release shall serve again, why, and who says so; what served as it was said.

    `moves` is how many the ledger held then: what was moved since, the choice did not know of.
    """

    version: str
    reason: str
    who: str
    production: str | None  # digest
    moves: int | None = None


class Retested(Record):
    """A release's image as the registry holds it, which was run and answers as its bundle does."""

    version: str
    digest: str
    image_id: str
    ready_seconds: float
    images: int
    largest_difference: float
    tolerance: float
    refusals: dict[str, int]
    trials: tuple[Trial, ...] = ()

    def summary(self) -> str:
        """One line for the log and for people."""
        return (
            f"{self.version} ({self.digest[:19]}) was ready in {self.ready_seconds:.1f} s and "
            f"answered {self.images} phantoms as its bundle does (largest difference "
            f"{self.largest_difference:.1e}); {len(self.trials)} trials passed"
        )


class Question(Record):
    """What somebody is asked who has named no version: the versions to choose from, and a text."""

    versions: tuple[str, ...]
    body: str  # Markdown


def question(config: Config) -> Question:
    """The releases that can serve again, the newest first, with what helps to choose one.

    Raises:
        ReleaseError: none can.
        ChampionError: the ledger is damaged.
        RegistryUnavailable, RegistryRefused: the registry does not tell.
    """
    known = returnable_releases(config)
    versions = tuple(each.version for each in known if each.can_be_chosen)
    if not versions:
        told = "; ".join(f"{each.version} {each.state}" for each in known).replace("**", "")
        raise ReleaseError(
            f"there is no release to go back to ({told or 'nothing was ever shipped'}); a new "
            "model ships through mammography_retraining"
        )
    return Question(
        versions=versions,
        body=f"{as_table(known)}\n\nThe chosen image is pulled by its digest and smoke-tested "
        f"first; only then `{PRODUCTION}` moves. Nothing is built. AUC is that of the test "
        "patients of then.",
    )


def choose(config: Config, version: str, reason: str | None, who: str = PIPELINE) -> Choice:
    """The choice that somebody made, if the release can serve again.

    Raises:
        ReleaseError: no reason is given, or the release cannot serve again; names those that can.
        StageSkipped: it serves already.
        RegistryUnavailable, RegistryRefused: the registry does not tell.
    """
    why, person = (" ".join((text or "").split()) for text in (reason, who))
    if len(why) < LEAST_REASON:
        raise ReleaseError(
            f"no reason is given for going back to {version}, which the audit log must hold; start "
            f"it anew with one of at least {LEAST_REASON} letters or, if the page asked you, clear "
            "this task to be asked anew"
        )
    release = choose_release(config, version)
    if release.settled:
        raise StageSkipped(f"{version} serves already, so nothing is moved")
    choice = Choice(
        version=version,
        reason=why[:500],
        who=person[:200] or PIPELINE,
        production=_production(config),
        moves=len(read_moves(config.paths.releases) or []),
    )
    log.info("%s shall serve again; %s; says %s", version, choice.reason, choice.who)
    return choice


def retest(config: Config, version: str) -> Retested:
    """`smoke_test_release` with this machine's Docker engine.

    Raises:
        EngineUnavailable: no engine answers; else as `smoke_test_release`.
    """
    with closing(connect()) as client:
        return smoke_test_release(config, client, version)


def smoke_test_release(config: Config, client: DockerClient, version: str) -> Retested:
    """Pulls the image of a release by its digest, as it was shipped, and tries all of it anew.

    The raw test images of then may be gone, so phantoms are sent, and what must be answered is what
    the sealed bundle answers here. Nothing is built, and `production` is not touched.

    Raises:
        ReleaseError: the release cannot serve again, its image is not what was signed, or a trial
            failed.
        RegistryUnavailable, RegistryRefused: the registry does not answer.
        EngineUnavailable: the engine stopped answering.
    """
    release = choose_release(config, version)
    bundle = bundle_of(config.paths.releases, version)
    image_id = verified_image(
        config, client, version, release.digest, "nothing was moved; choose another version"
    )
    predictor = Predictor.load(bundle)
    samples = phantom_samples(predictor, max(config.release.smoke_images, FEWEST))
    judged = Judged(version, predictor.threshold, predictor.positive, predictor.negative)
    trials = Trials()
    owner = f"rollback of {bundle.parent}"
    tried = try_image(client, image_id, owner, samples, judged, config.release.smoke, trials)
    tested = Retested(
        version=version,
        digest=release.digest,
        image_id=image_id,
        ready_seconds=tried.ready_seconds,
        images=len(samples),
        largest_difference=tried.largest_difference,
        tolerance=TOLERANCE,
        refusals=tried.refusals,
        trials=tuple(trials.done),
    )
    add_record(bundle, RETESTED, tested.model_dump(mode="json"))
    log.info("%s", tested.summary())
    return tested


def move_production(config: Config, choice: Choice, tested: Retested) -> Move:
    """Moves `production` to the tested digest, audits it, and has MLflow follow.

    Run again after it was done, or cut off at any point, it ends the same. What was put into
    production since the choice stays there: a worker that is lost right after the move is retried,
    and must not undo what came next.

    Raises:
        ReleaseError: another release was tested, it was shipped as another digest, or it is gone.
        ProductionMoved: something else was put into production since the choice.
        AuditError, ChampionError: audit log or ledger is damaged; nothing was moved.
        PushError, RegistryUnavailable, RegistryRefused: the registry does not do it.
    """
    if tested.version != choice.version:
        raise ReleaseError(
            f"{tested.version} was tested, but {choice.version} was chosen, so nothing was moved; "
            "clear smoke_test"
        )
    moves = read_moves(config.paths.releases) or []
    serving = _production(config)
    allowed = Unmoved(choice.version, tested.digest, choice.production, choice.moves)
    allowed(serving, moves)
    done = moves[-1] if moves and _is_done(config, moves[-1], serving, choice, tested) else None
    if done is None:
        done = roll_back(config, choice.version, choice.reason, choice.who, tested.digest, allowed)
    else:
        log.info("an earlier attempt has moved %s already", PRODUCTION)
    if config.tracking.enabled:
        register_meanwhile(config)
    before = move_to(moves, done.digest_before)
    was = before.version if before else done.digest_before or "nothing"
    log.info(
        "%s serves %s again (was %s); %s; by %s",
        PRODUCTION,
        done.version,
        was,
        choice.reason,
        choice.who,
    )
    return done


def _production(config: Config) -> str | None:
    with Registry(config.release) as registry:
        return registry.digest(PRODUCTION)


def _is_done(
    config: Config, last: Move, serving: str | None, choice: Choice, tested: Retested
) -> bool:
    """Whether an earlier attempt has moved, noted and audited this very rollback."""
    if (last.kind, last.digest, serving) != ("rollback", tested.digest, tested.digest):
        return False
    moved = [e for e in read_audit(config.paths.releases) if e.deed in (Deed.PUSHED, _BACK)]
    told = (_BACK, tested.digest, choice.who, choice.reason)
    return bool(moved) and (moved[-1].deed, moved[-1].digest, moved[-1].who, moved[-1].why) == told
