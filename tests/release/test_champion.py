"""The champion is known by digest, or proven not to be; everything else is an error."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ml_tasks.config import Config, PathsConfig
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.errors import ChampionError, RegistryUnavailable, StageOrderError
from ml_tasks.release.bundle import add_record
from ml_tasks.release.champion import champion_of, find_champion, note_champion
from ml_tasks.release.ledger import Move, note_move
from ml_tasks.run_paths import RunPaths
from tests.release.registry_server import holding
from tests.toy_run import make_bundle

FIRST, SECOND = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def settings(root: Path, registry: str = "localhost:1") -> Config:
    return Config(
        paths=PathsConfig(releases=root / "releases", runs=root / "runs"),
        release=ReleaseConfig(registry=registry, image="toy"),
    )


def released(root: Path, digest: str = FIRST) -> Path:
    """A sealed release whose move to `production` stands in the ledger."""
    bundle = make_bundle(root)
    version = bundle.parent.name
    add_record(bundle, "push", {"digest": digest})
    note_move(
        root / "releases",
        Move(
            version=version,
            digest=digest,
            reference=f"localhost:1/toy:{version}",
            moved_at="2026-01-02T03:04:05+00:00",
            digest_before=None,
        ),
    )
    return bundle


def test_nothing_was_ever_released_if_ledger_and_registry_agree(tmp_path: Path) -> None:
    make_bundle(tmp_path)  # sealed, never pushed
    with holding(None) as registry:
        champion = find_champion(settings(tmp_path, registry.address), ask_registry=True)
    assert (champion.version, champion.digest) == (None, None)
    assert champion.proof == (
        "no model was ever released: the release ledger and the registry agree"
    )


def test_a_run_that_does_not_push_asks_the_ledger_alone_and_says_so(tmp_path: Path) -> None:
    champion = find_champion(settings(tmp_path), ask_registry=False)
    assert champion.version is None and champion.registry is None
    assert champion.proof.endswith("(the registry was not asked: this run does not push)")
    bundle = released(tmp_path)
    champion = find_champion(settings(tmp_path), ask_registry=False)
    assert (champion.version, champion.digest) == (bundle.parent.name, FIRST)


def test_the_registrys_digest_names_the_version(tmp_path: Path) -> None:
    """Also after someone has moved the tag back to an earlier release."""
    bundle = released(tmp_path)
    note_move(
        tmp_path / "releases",
        Move(version="V2", digest=SECOND, reference="r", moved_at="t", digest_before=FIRST),
    )
    with holding(FIRST) as registry:
        champion = find_champion(settings(tmp_path, registry.address), ask_registry=True)
        assert champion.registry == f"http://{registry.address}/v2/toy/manifests/production"
    assert (champion.version, champion.digest) == (bundle.parent.name, FIRST)
    assert champion.proof.startswith(f"{bundle.parent.name} is in production")


def test_a_registry_that_cannot_be_reached_is_never_a_first_model(tmp_path: Path) -> None:
    with pytest.raises(RegistryUnavailable):
        find_champion(settings(tmp_path), ask_registry=True)


def test_a_lost_ledger_is_never_a_first_model(tmp_path: Path) -> None:
    bundle = released(tmp_path)
    (tmp_path / "releases" / "ledger.jsonl").unlink()
    for ask_registry in (False, True):
        with pytest.raises(ChampionError, match=rf"is missing, but {bundle.parent.name} was rel"):
            find_champion(settings(tmp_path), ask_registry)
    shutil.rmtree(bundle.parent)
    with holding(FIRST) as registry, pytest.raises(ChampionError, match="does not know") as error:
        find_champion(settings(tmp_path, registry.address), ask_registry=True)
    assert FIRST in str(error.value) and "restore the ledger from a copy" in str(error.value)


def test_a_ledger_and_a_registry_that_contradict_each_other_are_an_error(tmp_path: Path) -> None:
    bundle = released(tmp_path)
    with (
        holding(None) as registry,
        pytest.raises(ChampionError, match=rf"holds no `production` .* {bundle.parent.name} was"),
    ):
        find_champion(settings(tmp_path, registry.address), ask_registry=True)
    with (
        holding(SECOND) as registry,
        pytest.raises(ChampionError, match=rf"`production` is {SECOND} .* does not know"),
    ):
        find_champion(settings(tmp_path, registry.address), ask_registry=True)


def test_a_release_in_production_that_is_gone_or_altered_is_an_error(tmp_path: Path) -> None:
    bundle = released(tmp_path)
    (bundle / "model.onnx").chmod(0o644)
    (bundle / "model.onnx").write_bytes(b"another model")
    with pytest.raises(ChampionError, match=r"altered since it was sealed: model\.onnx.* restore"):
        find_champion(settings(tmp_path), ask_registry=False)
    shutil.rmtree(bundle)
    with pytest.raises(ChampionError, match="is in production, but its release cannot be compared"):
        find_champion(settings(tmp_path), ask_registry=False)


def test_a_run_keeps_the_champion_it_began_with(tmp_path: Path) -> None:
    run = RunPaths(tmp_path / "runs", "r")
    with pytest.raises(StageOrderError, match=r"champion\.json is missing .* start a new run"):
        champion_of(run)
    before = find_champion(settings(tmp_path), ask_registry=False)
    note_champion(run, before)
    released(tmp_path)
    assert champion_of(run) == before
    (run.root / "champion.json").write_text("{")
    with pytest.raises(StageOrderError, match=r"champion\.json is missing or damaged"):
        champion_of(run)
