"""A toy release in production, as ledger and registry say, and folders of films to score by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ml_tasks.config import Config, PathsConfig
from ml_tasks.config_operation import ScoringConfig
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.release.bundle import add_record
from ml_tasks.release.ledger import Move, note_move
from tests.builders import encoded, film
from tests.release.registry_server import holding
from tests.toy_run import make_bundle

DIGEST = "sha256:" + "1" * 64


@dataclass(frozen=True)
class Toy:
    """Settings with a toy release in production, and its version."""

    config: Config
    version: str
    bundle: Path

    def with_scoring(self, **changes: object) -> Config:
        """The settings with others of batch scoring."""
        scoring = self.config.scoring.model_copy(update=changes)
        return self.config.model_copy(update={"scoring": scoring})


def ship(root: Path, digest: str = DIGEST) -> Path:
    """A sealed toy release below `root` whose move to production stands in the ledger."""
    bundle = make_bundle(root)
    add_record(bundle, "push", {"digest": digest})
    note_move(
        root / "releases",
        Move(
            version=bundle.parent.name,
            digest=digest,
            reference=f"localhost:1/toy:{bundle.parent.name}",
            moved_at="2026-01-02T03:04:05+00:00",
            digest_before=None,
        ),
    )
    return bundle


@contextmanager
def toy_release(root: Path, chunk: int = 4, shards: int = 2) -> Iterator[Toy]:
    """A release in production, and a registry that says so."""
    bundle = ship(root)
    with holding(DIGEST) as registry:
        paths = {name: root / name for name in PathsConfig.model_fields}
        config = Config(
            paths=PathsConfig(**paths),
            release=ReleaseConfig(registry=registry.address, image="toy"),
            scoring=ScoringConfig(chunk=chunk, shards=shards),
        )
        yield Toy(config, bundle.parent.name, bundle)


def write_films(folder: Path, count: int, deep: bool = True) -> Path:
    """Films in folders of folders, every fifth one damaged."""
    for number in range(count):
        below = folder / f"site-{number % 3}" / f"p{number % 7}" if deep else folder
        below.mkdir(parents=True, exist_ok=True)
        data = encoded(film(number, lesion=bool(number % 2)))
        (below / f"film-{number:05}.png").write_bytes(data[:200] if number % 5 == 4 else data)
    return folder
