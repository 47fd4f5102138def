"""The rollback's tasks on a real engine and registry: chosen, run by digest, moved, or refused."""

from __future__ import annotations

import io
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from docker import DockerClient

from ml_tasks.config import Config, save_config
from ml_tasks.config_operation import HousekeepingConfig
from ml_tasks.errors import AuditError, ProductionMoved, ReleaseError, StageSkipped
from ml_tasks.housekeeping import tidy_images
from ml_tasks.push_model import push_model
from ml_tasks.records import ReleaseRecord
from ml_tasks.release.audit import Deed, person_here, read_audit
from ml_tasks.release.bundle import bundle_of
from ml_tasks.release.champion import Champion
from ml_tasks.release.container import mark_of
from ml_tasks.release.context import write_context
from ml_tasks.release.ledger import read_moves
from ml_tasks.release.registry_api import Registry
from ml_tasks.release.rollback import roll_back
from ml_tasks.rollback import (
    Choice,
    Retested,
    choose,
    move_production,
    question,
    smoke_test_release,
)
from tests.builders import NO_CHAMPION
from tests.docker.image_tags import tags_of
from tests.docker.light_release import in_production, said_to_be_tested
from tests.docker.real_release import build_on
from tests.docker.registry_process import RegistryProcess
from tests.toy_run import make_toy_run

pytestmark = pytest.mark.docker


class Place:
    """Three releases with a real service: one that answers otherwise by now, a good one, what
    serves. Each test finds them so.
    """

    def __init__(
        self, folder: Path, engine: DockerClient, registry: RegistryProcess, base: str
    ) -> None:
        self.engine, self.registry = engine, registry
        self.root, self.kept = folder / "state", folder / "kept"
        self.image = f"mammography-back-{uuid4().hex[:8]}"
        self.bad = self._ship(1, NO_CHAMPION, self._other_base(base))
        self.good = self._ship(2, in_production(self.bad), base)
        self.last = self._ship(3, in_production(self.good), base)
        shutil.copytree(self.root, self.kept)
        with Registry(self.config.release) as held:
            self.manifests = {tag: held.manifest(tag) for tag in held.tags()}

    def _ship(self, day: int, champion: Champion, base: str) -> ReleaseRecord:
        toy = make_toy_run(
            self.root, f"run-{day}", registry=self.registry.address, image=self.image,
            champion=champion,
        )  # fmt: skip
        self.config: Config = toy.config.model_copy(
            update={"tracking": toy.config.tracking.model_copy(update={"enabled": False})}
        )
        build_on(toy, day, self.engine, base)
        said_to_be_tested(toy)
        return push_model(toy.run, toy.config, self.engine)

    def _other_base(self, base: str) -> str:
        """A base whose service says other probabilities, and which claims to be of this code."""
        source = Path("ml_tasks/inference/calibration.py").read_text()
        odds = "odds = (logits(raw) + self.prior_shift) / self.temperature"
        assert odds in source
        files = {
            # The prefix: else the compiled file beside it is what counts.
            "Dockerfile": f"FROM {base}\nENV PYTHONPYCACHEPREFIX=/none\n"
            "COPY calibration.py /app/ml_tasks/inference/\n".encode(),
            "calibration.py": source.replace(odds, f"{odds} + 0.001").encode(),
        }
        context = io.BytesIO()
        write_context(context, files)
        context.seek(0)
        tag = f"{self.image}-base:other"
        self.engine.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
        return tag

    def restore(self) -> None:
        """Puts folders, tags and `production` back as they were."""
        shutil.rmtree(self.root)
        shutil.copytree(self.kept, self.root)
        with Registry(self.config.release) as registry:
            for tag, manifest in self.manifests.items():
                assert manifest is not None
                registry.put(manifest, tag)

    @property
    def serving(self) -> str:
        return self.registry.tags(self.image)["production"]


@pytest.fixture(scope="module")
def shipped_place(
    tmp_path_factory: pytest.TempPathFactory,
    engine: DockerClient,
    registry_of_session: RegistryProcess,
    serving_base: str,
) -> Iterator[Place]:
    registry_of_session.start()
    place = Place(tmp_path_factory.mktemp("back"), engine, registry_of_session, serving_base)
    yield place
    for tag in tags_of(engine, place.image):
        engine.images.remove(tag)


@pytest.fixture
def place(shipped_place: Place, registry: RegistryProcess) -> Place:
    shipped_place.restore()
    return shipped_place


def chosen(place: Place, record: ReleaseRecord) -> Choice:
    return choose(place.config, record.version, "misses  small\nlesions", "ana")


def said(tested: ReleaseRecord) -> Retested:
    """A test that is said to have taken place."""
    return Retested(
        version=tested.version,
        digest=tested.digest,
        image_id=tested.image_id,
        ready_seconds=1,
        images=64,
        largest_difference=0,
        tolerance=1e-5,
        refusals={},
    )


def test_a_release_is_run_by_its_digest_and_serves_again_with_a_name_and_a_reason(
    place: Place, engine: DockerClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ml_tasks")
    before = place.registry.tags(place.image)
    choice = chosen(place, place.good)
    repository = f"{place.config.release.registry}/{place.image}"
    for name in (repository, place.image):  # as on a worker that has never seen it
        engine.images.remove(f"{name}:{place.good.version}", force=True)
    tested = smoke_test_release(place.config, engine, choice.version)
    assert (tested.digest, tested.image_id) == (place.good.digest, place.good.image_id)
    assert tested.images == 64 and tested.largest_difference <= 1e-5
    assert len(tested.trials) == 17 and all(trial.passed for trial in tested.trials)
    assert place.serving == place.last.digest, "the test alone moves nothing"
    record = bundle_of(place.config.paths.releases, choice.version).parent / "record"
    assert json.loads((record / "retested.json").read_text())["image_id"] == tested.image_id

    move_production(place.config, choice, tested)
    assert place.registry.tags(place.image) == before | {"production": place.good.digest}
    (entry,) = [e for e in read_audit(place.config.paths.releases) if e.deed is Deed.ROLLED_BACK]
    assert (entry.who, entry.why) == ("ana", "misses small lesions")
    assert (entry.subject, entry.digest) == (place.good.version, place.good.digest)
    assert caplog.messages[-1] == (
        f"production serves {place.good.version} again (was {place.last.version}); "
        "misses small lesions; by ana"
    )
    mark: dict[str, str | list[str] | bool] = {"label": mark_of(f"rollback of {record.parent}")}
    assert engine.containers.list(all=True, filters=mark) == []


def test_an_image_that_answers_otherwise_than_its_bundle_is_refused(
    place: Place, engine: DockerClient
) -> None:
    """It is signed, and every layer is as it was: only asking it tells."""
    choice = chosen(place, place.bad)
    with pytest.raises(ReleaseError, match=r"parity of 64 images is 0\.0\d+, the limit is 1e-05"):
        smoke_test_release(place.config, engine, choice.version)
    assert place.serving == place.last.digest
    assert len(read_moves(place.config.paths.releases) or []) == 3


def test_an_image_that_was_exchanged_in_the_registry_is_not_even_run(
    place: Place, engine: DockerClient
) -> None:
    """Who may write releases/ can write a ledger line; the signature of the image tells."""
    record = bundle_of(place.config.paths.releases, place.good.version).parent / "record"
    for statement in record.glob("statement.dsse*"):
        statement.unlink()
    with pytest.raises(ReleaseError, match="is not the release .* as it was signed .*statement"):
        smoke_test_release(place.config, engine, place.good.version)


def test_a_move_done_twice_or_cut_off_moves_and_tells_once(place: Place) -> None:
    choice, tested = chosen(place, place.good), said(place.good)
    first = move_production(place.config, choice, tested)
    again = move_production(place.config, choice, tested)
    assert (again.digest, place.serving) == (first.digest, place.good.digest)
    releases = place.config.paths.releases
    assert len(read_moves(releases) or []) == 4
    assert [e.deed for e in read_audit(releases)].count(Deed.ROLLED_BACK) == 1
    audit = releases / "audit.jsonl"
    lines = audit.read_text().splitlines(keepends=True)
    audit.write_text("".join(lines[:-1]))  # as killed right after the ledger's line
    move_production(place.config, choice, tested)
    assert len(read_moves(releases) or []) == 4
    assert [e.deed for e in read_audit(releases)].count(Deed.ROLLED_BACK) == 1


def test_a_move_that_is_retried_does_not_undo_what_came_after_it(place: Place) -> None:
    """A worker lost right after the move is retried minutes later; a release may have shipped."""
    choice, tested = chosen(place, place.good), said(place.good)
    move_production(place.config, choice, tested)
    later = chosen(place, place.bad)  # stands for whatever was put there next
    move_production(place.config, later, said(place.bad))
    with pytest.raises(ProductionMoved, match="when .* was chosen, and is .* now.*; it was left"):
        move_production(place.config, choice, tested)
    assert place.serving == place.bad.digest
    assert len(read_moves(place.config.paths.releases) or []) == 5


def test_a_move_that_is_retried_does_not_undo_a_rollback_of_it(place: Place) -> None:
    """It served badly, and somebody went back at once to what served when it was chosen."""
    choice, tested = chosen(place, place.good), said(place.good)
    move_production(place.config, choice, tested)
    roll_back(place.config, place.last.version, "worse still", who="grace")
    with pytest.raises(
        ProductionMoved, match=f"after a move to {place.last.version} .*worse still"
    ):
        move_production(place.config, choice, tested)
    assert place.serving == place.last.digest
    assert len(read_moves(place.config.paths.releases) or []) == 5


def test_what_ships_right_before_the_move_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a command, which the pool of Airflow does not hold back: between the look and the lock."""
    choice, tested = chosen(place, place.good), said(place.good)

    def after_another(*given: Any) -> Any:
        monkeypatch.undo()
        roll_back(place.config, place.bad.version, "by hand", who="grace")
        return roll_back(*given)

    monkeypatch.setattr("ml_tasks.rollback.roll_back", after_another)
    with pytest.raises(ProductionMoved, match="when .* was chosen, and is .* now"):
        move_production(place.config, choice, tested)
    assert place.serving == place.bad.digest


def test_only_the_digest_that_was_tested_is_moved_to(place: Place) -> None:
    choice = chosen(place, place.good)
    other = said(place.good).model_copy(update={"digest": place.bad.digest})
    with pytest.raises(ReleaseError, match="was tested, but .* was shipped as"):
        move_production(place.config, choice, other)
    with pytest.raises(ReleaseError, match="was tested, but .* was chosen"):
        move_production(place.config, choice, said(place.bad))
    assert place.serving == place.last.digest


def test_a_damaged_audit_log_stops_it_before_anything_moves(place: Place) -> None:
    choice = chosen(place, place.good)
    (place.config.paths.releases / "audit.jsonl").write_text('{"who": "nobody"}\n')
    with pytest.raises(AuditError):
        move_production(place.config, choice, said(place.good))
    assert place.serving == place.last.digest


def test_what_can_be_chosen_is_listed_and_what_cannot_says_why(place: Place) -> None:
    asked = question(place.config)
    assert asked.versions == (place.good.version, place.bad.version)
    assert f"| `{place.last.version}` |" in asked.body and "**serves**" in asked.body
    assert "stood before what serves" in asked.body and "0.950" in asked.body
    shutil.rmtree(bundle_of(place.config.paths.releases, place.bad.version))
    asked = question(place.config)
    assert asked.versions == (place.good.version,)
    assert "is not there; put it back from a copy first" in asked.body
    with pytest.raises(
        ReleaseError, match=f"cannot serve again: .* choose one of {asked.versions[0]}"
    ):
        chosen(place, place.bad)
    with pytest.raises(ReleaseError, match="was never in production; choose one of"):
        choose(place.config, "20250101T000000Z-0123456789ab", "why not", "ana")
    with pytest.raises(StageSkipped, match="serves already"):
        chosen(place, place.last)
    with pytest.raises(ReleaseError, match="no reason is given"):
        choose(place.config, place.good.version, " x ", "ana")


def test_a_version_whose_image_is_gone_is_not_offered(place: Place, engine: DockerClient) -> None:
    with Registry(place.config.release) as registry:
        manifest = registry.manifest(place.good.digest)
        assert manifest is not None
        blob = manifest.blobs[-1].removeprefix("sha256:")
        data = place.registry.storage / "docker/registry/v2/blobs/sha256" / blob[:2] / blob / "data"
        content = data.read_bytes()
        data.unlink()
        try:
            assert question(place.config).versions == (place.bad.version,)
            with pytest.raises(ReleaseError, match="the registry has lost"):
                smoke_test_release(place.config, engine, place.good.version)
        finally:
            data.write_bytes(content)


def test_production_that_somebody_moves_meanwhile_is_left_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice, tested = chosen(place, place.good), said(place.good)
    lacks = Registry.lacks

    def moved_meanwhile(registry: Registry, manifest: object) -> list[str]:
        other = registry.manifest(place.bad.digest)
        assert other is not None
        registry.put(other, "production")
        return lacks(registry, manifest)  # type: ignore[arg-type]

    monkeypatch.setattr(Registry, "lacks", moved_meanwhile)
    with pytest.raises(ProductionMoved, match="somebody moves it past this pipeline"):
        move_production(place.config, choice, tested)
    assert place.serving == place.bad.digest
    assert all(e.deed is not Deed.ROLLED_BACK for e in read_audit(place.config.paths.releases))


def test_the_command_tests_first_where_it_is_told_to(place: Place, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    save_config(place.config, config)

    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ml_tasks.cli", "rollback", place.bad.version, *words]
        command += ["--reason", "typed", "--config", str(config)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    refused = typed("--tested")
    assert refused.returncode == 1 and "parity of 64 images" in refused.stderr
    assert place.serving == place.last.digest
    done = typed()
    assert done.returncode == 0, done.stderr
    assert place.serving == place.bad.digest, "a way back stays open in a hurry"
    entry = read_audit(place.config.paths.releases)[-1]
    assert (entry.who, entry.why) == (person_here(), "typed")


def test_housekeeping_takes_old_images_and_not_what_can_serve_again(place: Place) -> None:
    keep_one = HousekeepingConfig(keep_releases=1)
    config = place.config.model_copy(update={"housekeeping": keep_one})
    said_first = tidy_images(config, remove_them=False)
    assert [each.name for each in said_first.going] == [place.bad.version]
    assert place.bad.version in place.registry.tags(place.image)
    tidy_images(config, remove_them=True, who="ana")
    (gone,) = [e for e in read_audit(config.paths.releases) if e.deed is Deed.REMOVED]
    assert (gone.who, gone.subject) == ("ana", place.bad.version)
    assert set(place.registry.tags(place.image)) == {
        place.good.version,
        place.last.version,
        "production",
    }
    asked = question(config)
    assert asked.versions == (place.good.version,)
    assert "does not hold its image" in asked.body
