"""`mammo prune`: old releases' images go; never what serves, nor what stood before it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from docker import DockerClient
from docker.errors import APIError, ImageNotFound

from ml_tasks.config import Config
from ml_tasks.errors import ReleaseError
from ml_tasks.records import Record
from ml_tasks.release.audit import Deed, note
from ml_tasks.release.bundle import add_record, bundle_of
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.ledger import Move, move_to, predecessor, read_moves
from ml_tasks.release.moving import movers_lock, now
from ml_tasks.release.registry_api import Registry
from ml_tasks.release.releases import PRUNED
from ml_tasks.storage import storage_errors

log = logging.getLogger(__name__)


class Judged(Record):
    """A shipped version and why it stays; without a reason its image may go."""

    version: str
    digest: str
    stays: str = ""


def plan(config: Config, registry: Registry, keep: int) -> list[Judged]:
    """Every shipped version that the registry holds, the newest first, with why it stays.

    Raises:
        ReleaseError: what serves is not known for sure.
        ChampionError: the ledger is damaged.
        RegistryUnavailable, RegistryRefused: the registry does not tell.
    """
    moves = read_moves(config.paths.releases) or []
    tags = {tag: registry.digest(tag) for tag in registry.tags()}
    serving = tags.get(PRODUCTION)
    if moves and (serving is None or move_to(moves, serving) is None):
        raise ReleaseError(
            f"`{PRODUCTION}` is {serving or 'nothing'}, which the ledger does not know, so it is "
            "not certain what must stay; `mammo releases` says what to do first"
        )
    shipped = sorted({move.version for move in moves} & set(tags), reverse=True)
    judged = [
        Judged(
            version=version,
            digest=str(tags[version]),
            stays=_why(moves, serving, version, tags[version], newest=version in shipped[:keep]),
        )
        for version in shipped
    ]
    return _with_sharers(judged, tags)


def _why(
    moves: Sequence[Move], serving: str | None, version: str, digest: str | None, newest: bool
) -> str:
    before = predecessor(moves, serving)
    if digest == serving:
        return "serves"
    if before is not None and digest == before.digest:
        return "stood before what serves"
    if newest:
        return "one of the newest"
    noted = [move.digest for move in moves if move.version == version]
    return "" if digest in noted else "is not the image that was shipped: look at it first"


def _with_sharers(judged: Sequence[Judged], tags: dict[str, str | None]) -> list[Judged]:
    """Deleting a manifest removes every tag on it: one that a kept tag shares stays."""
    going = {each.version for each in judged if not each.stays}
    kept = {digest: tag for tag, digest in tags.items() if tag not in going}
    return [
        each.model_copy(update={"stays": f"is the same image as {kept[each.digest]}"})
        if not each.stays and each.digest in kept
        else each
        for each in judged
    ]


def prune(
    config: Config, keep: int, client: DockerClient | None, remove: bool, bundles: bool
) -> list[Judged]:
    """Judges every shipped version, and with `remove` removes the images that need not stay.

    From the registry, and from the engine where there is one. Each release's record stays, and says
    so; its bundle stays, unless `bundles`.

    Raises:
        ReleaseError: what serves is not known for sure, or moved while this worked.
        RegistryUnavailable, RegistryRefused: the registry does not do it.
        EngineUnavailable: the engine stopped answering.
        AuditError, StorageError: the audit log is damaged or cannot be written.
    """
    with movers_lock(config.paths.releases), Registry(config.release) as registry:
        judged = plan(config, registry, keep)
        for each in judged if remove else ():
            if each.stays:
                continue
            # First: what a kill leaves half done is then no image lost without a word.
            what = "image and bundle" if bundles else "image"
            note(config.paths.releases, Deed.REMOVED, each.version, why=what, digest=each.digest)
            _note(config.paths.releases, each, bundles)
            _remove_image(registry, each)
            _remove_from_engine(client, config, each.version)
            if bundles:
                _remove_bundle(bundle_of(config.paths.releases, each.version))
    return judged


def _remove_image(registry: Registry, each: Judged) -> None:
    # Once more, right before the deed: others may write tags past this pipeline.
    if registry.digest(PRODUCTION) == each.digest:
        raise ReleaseError(f"{each.version} serves by now; nothing more was removed")
    registry.delete(each.digest)
    log.info("removed the image of %s (%s) from the registry", each.version, each.digest)


def _remove_from_engine(client: DockerClient | None, config: Config, version: str) -> None:
    """Takes the version's names off; the engine drops layers that nothing else uses."""
    if client is None:
        return
    release = config.release
    with engine_errors(client, "old images were removed"):
        for name in (f"{release.registry}/{release.image}", release.image):
            try:
                client.images.remove(f"{name}:{version}")
                log.info("removed %s:%s from the engine", name, version)
            except ImageNotFound:
                continue
            except APIError as error:  # a container was made of it; not forced
                log.warning("%s:%s stays in the engine: %s", name, version, error.explanation)


def _note(releases: Path, each: Judged, bundles: bool) -> None:
    bundle = bundle_of(releases, each.version)
    if bundle.parent.is_dir():  # else the release was moved away, and its record with it
        content = {"digest": each.digest, "pruned_at": now(), "bundle_too": bundles}
        add_record(bundle, PRUNED, content)


def _remove_bundle(bundle: Path) -> None:
    if bundle.is_dir():
        with storage_errors(bundle):
            shutil.rmtree(bundle)
        log.info("removed %s; the record beside it stays", bundle)
