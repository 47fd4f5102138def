"""releases, rollback and prune on a real registry and engine: one truth, back in one step."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from docker import DockerClient

from ml_tasks.config import Config, save_config
from ml_tasks.errors import ProductionMoved, RegistryRefused, ReleaseError
from ml_tasks.push_model import push_model
from ml_tasks.records import ImageRecord, ReleaseRecord
from ml_tasks.release.audit import Deed, person_here, read_audit
from ml_tasks.release.bundle import bundle_of
from ml_tasks.release.champion import find_champion
from ml_tasks.release.ledger import read_moves
from ml_tasks.release.moving import movers_lock
from ml_tasks.release.registry_api import Manifest, Registry
from ml_tasks.release.releases import list_releases
from ml_tasks.release.retention import Judged, prune
from ml_tasks.release.rollback import roll_back
from tests.docker.image_tags import tags_of
from tests.docker.light_release import light_run, shipped
from tests.docker.registry_process import RegistryProcess
from tests.toy_run import ToyRun
from tests.waiting import ended

pytestmark = pytest.mark.docker


class Place:
    """Three releases at one registry, the last one in production; each test finds it so."""

    def __init__(self, folder: Path, engine: DockerClient, registry: RegistryProcess) -> None:
        self.root, self.kept, self.registry = folder / "state", folder / "kept", registry
        root = self.root
        self.image = f"mammography-light-{uuid4().hex[:8]}"
        done = shipped(root, engine, registry.address, self.image, 3)
        self.toys: list[ToyRun] = [toy for toy, _ in done]
        self.first, self.second, self.third = (record for _, record in done)
        self.config: Config = self.toys[0].config
        shutil.copytree(root, self.kept)
        with Registry(self.config.release) as held:
            self.manifests = {tag: held.manifest(tag) for tag in held.tags()}

    def restore(self) -> None:
        """Puts folders and registry back as they were."""
        shutil.rmtree(self.root)
        shutil.copytree(self.kept, self.root)
        with Registry(self.config.release) as registry:
            for digest in set(self.tags.values()):
                registry.delete(digest)
            for tag, manifest in self.manifests.items():
                assert manifest is not None
                registry.put(manifest, tag)

    @property
    def tags(self) -> dict[str, str]:
        return self.registry.tags(self.image)

    def put(self, digest: str, tag: str) -> None:
        """Moves a tag past the pipeline."""
        with Registry(self.config.release) as registry:
            manifest = registry.manifest(digest)
            assert manifest is not None
            registry.put(manifest, tag)

    def typed(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A `mammo` command as somebody types it."""
        config = self.root / "config.yaml"
        save_config(self.config, config)
        command = [sys.executable, "-m", "ml_tasks.cli", *words, "--config", str(config)]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def shipped_place(
    tmp_path_factory: pytest.TempPathFactory,
    engine: DockerClient,
    registry_of_session: RegistryProcess,
) -> Iterator[Place]:
    registry_of_session.start()
    place = Place(tmp_path_factory.mktemp("shipped"), engine, registry_of_session)
    yield place
    for tag in tags_of(engine, place.image):
        engine.images.remove(tag)


@pytest.fixture
def place(shipped_place: Place, registry: RegistryProcess) -> Place:
    shipped_place.restore()
    return shipped_place


def stays(judged: list[Judged]) -> dict[str, str]:
    return {each.version: each.stays for each in judged}


def test_the_list_says_what_serves_what_stood_before_and_how_each_was_judged(
    place: Place,
) -> None:
    found = list_releases(place.config)
    assert found.problems == () and found.production == place.third.digest
    assert [each.version for each in found.releases] == [
        place.third.version,
        place.second.version,
        place.first.version,
    ]
    newest, before, oldest = found.releases
    assert (newest.serves, before.previous, oldest.serves, oldest.previous) == (
        True,
        True,
        False,
        False,
    )
    assert (newest.verdict, newest.auc) == ("PASS", 0.95)
    table = found.table()
    assert place.third.version in table and "SERVES" in table and "previous" in table


def test_going_back_moves_production_and_nothing_else(place: Place) -> None:
    before = place.tags
    move = roll_back(place.config, reason="misses\nsmall lesions")
    assert place.tags == before | {"production": place.second.digest}
    assert (move.version, move.digest_before) == (place.second.version, place.third.digest)
    last = (read_moves(place.config.paths.releases) or [])[-1]
    assert (last.kind, last.reason) == ("rollback", "misses small lesions")
    # A run that begins now is compared with what was gone back to.
    assert find_champion(place.config, ask_registry=True).version == place.second.version
    assert list_releases(place.config).problems == ()


def test_going_back_twice_goes_back_two_releases_and_then_says_that_it_is_the_first(
    place: Place,
) -> None:
    roll_back(place.config)
    assert roll_back(place.config).version == place.first.version
    with pytest.raises(ReleaseError, match="is the first release, nothing stood before it"):
        roll_back(place.config)
    assert roll_back(place.config, place.third.version).version == place.third.version
    assert place.tags["production"] == place.third.digest


def test_a_release_that_was_taken_out_is_not_put_back_by_a_rerun(
    place: Place, engine: DockerClient
) -> None:
    """A worker that died right after the move is retried: it must not undo what a person did."""
    roll_back(place.config, reason="wrong on implants")
    last = place.toys[-1]
    with pytest.raises(ProductionMoved, match=r"taken out of production .*wrong on implants"):
        push_model(last.run, last.config, engine)
    assert place.tags["production"] == place.second.digest
    roll_back(place.config, place.third.version)
    assert push_model(last.run, last.config, engine).digest == place.third.digest


def test_a_release_that_a_rollback_went_past_is_not_put_back_by_a_rerun(
    place: Place, engine: DockerClient
) -> None:
    """The second was compared with the first, which serves again: nothing else would stop it."""
    roll_back(place.config, place.first.version, reason="both are wrong")
    passed_over = place.toys[1]
    with pytest.raises(ProductionMoved, match=r"taken out of production .*both are wrong"):
        push_model(passed_over.run, passed_over.config, engine)
    assert place.tags["production"] == place.first.digest


def test_a_push_cut_off_before_its_line_does_not_undo_a_rollback(
    place: Place, engine: DockerClient
) -> None:
    ledger = place.config.paths.releases / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[:2]))  # as killed right after production moved to the third
    assert roll_back(place.config, reason="wrong").version == place.second.version
    last = place.toys[-1]
    with pytest.raises(ProductionMoved, match=r"taken out of production .*wrong"):
        push_model(last.run, last.config, engine)
    assert place.tags["production"] == place.second.digest


def test_a_lost_tag_set_to_another_release_takes_the_last_one_out(
    place: Place, engine: DockerClient
) -> None:
    subprocess.run(
        ["rm", "-r", place.registry.storage / "docker/registry/v2/repositories" / place.image
         / "_manifests/tags/production"], check=True,
    )  # fmt: skip
    assert roll_back(place.config, place.second.version).digest_before == place.third.digest
    last = place.toys[-1]
    with pytest.raises(ProductionMoved, match="taken out of production"):
        push_model(last.run, last.config, engine)


def test_a_rollback_cut_off_before_its_line_is_not_done_twice(place: Place) -> None:
    """Typed again, it would go back one release more than was meant."""
    place.put(place.second.digest, "production")
    with pytest.raises(ReleaseError, match=f"name the version .*{place.second.version}"):
        roll_back(place.config)
    assert place.tags["production"] == place.second.digest
    move = roll_back(place.config, place.second.version)
    assert move.digest_before == place.third.digest
    assert list_releases(place.config).problems == ()


def test_the_commands_say_what_serves(place: Place) -> None:
    done = place.typed("rollback", "--reason", "test", "--set", "tracking.enabled=false")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"production serves {place.second.version} ({place.second.digest})\n"
    assert place.tags["production"] == place.second.digest
    listed = place.typed("releases", "--json")
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout)["production"] == place.second.digest


def test_only_what_was_shipped_as_it_was_shipped_comes_back(place: Place) -> None:
    with pytest.raises(ReleaseError, match=r"never in production.* shipped were .*03"):
        roll_back(place.config, "20250101T000000Z-0123456789ab")
    card = bundle_of(place.config.paths.releases, place.second.version) / "model_card.md"
    card.chmod(0o644)
    card.write_text("better than it was")
    with pytest.raises(ReleaseError, match="altered since it was sealed"):
        roll_back(place.config)
    with Registry(place.config.release) as registry:
        manifest = registry.manifest(place.first.digest)
        assert manifest is not None
        blob = manifest.blobs[-1].removeprefix("sha256:")
        data = place.registry.storage / "docker/registry/v2/blobs/sha256" / blob[:2] / blob / "data"
        content = data.read_bytes()
        data.unlink()
        with pytest.raises(ReleaseError, match="does not hold the image .* any more"):
            roll_back(place.config, place.first.version)
        data.write_bytes(content)
        registry.delete(place.first.digest)
    with pytest.raises(ReleaseError, match="does not hold the image .* any more"):
        roll_back(place.config, place.first.version)
    assert place.tags["production"] == place.third.digest


def test_what_was_moved_past_the_ledger_is_told_and_set_right(
    place: Place, engine: DockerClient
) -> None:
    place.put(place.first.digest, "production")
    (problem,) = list_releases(place.config).problems
    assert "was moved past the ledger, whose last move is to" in problem
    roll_back(place.config, place.first.version)
    assert list_releases(place.config).problems == ()
    stranger = light_run(place.root / "other", engine, place.registry.address, place.image, 9)
    foreign = push_stranger(stranger, engine, place)
    (problem,) = list_releases(place.config).problems
    assert "which the ledger does not know" in problem
    with pytest.raises(ReleaseError, match="not certain what must stay"):
        prune(place.config, 1, engine, remove=True, bundles=False)
    # What was noted last is what stood before it.
    assert roll_back(place.config).version == place.first.version
    assert place.tags["production"] == place.first.digest != foreign


def push_stranger(toy: ToyRun, engine: DockerClient, place: Place) -> str:
    """Another image as `production`, by other tools."""
    image = engine.images.get(toy.run.load(ImageRecord).image_id)
    repository = f"{place.registry.address}/{place.image}"
    assert image.tag(repository, "stranger")
    engine.api.push(repository, tag="stranger")
    place.put(place.tags["stranger"], "production")
    return place.tags["production"]


def test_a_registry_that_does_not_answer_is_a_problem_and_no_guess(place: Place) -> None:
    place.registry.stop()
    found = list_releases(place.config)
    assert found.production is None and not any(each.serves for each in found.releases)
    assert "what serves is not known" in found.problems[0]
    assert place.typed("releases").returncode == 1


def test_movers_wait_for_one_another(place: Place) -> None:
    """Between reading the tag and writing it, no other mover may write."""
    with movers_lock(place.config.paths.releases):
        waiting = threading.Thread(target=roll_back, args=(place.config,))
        waiting.start()
        waiting.join(1)
        assert waiting.is_alive() and place.tags["production"] == place.third.digest
    ended(waiting)
    assert place.tags["production"] == place.second.digest


def test_old_images_go_and_neither_what_serves_nor_its_predecessor(
    place: Place, engine: DockerClient
) -> None:
    roll_back(place.config)  # the second serves, the first stood before it
    repository = f"{place.registry.address}/{place.image}"
    shown = stays(prune(place.config, 1, None, remove=False, bundles=False))
    assert shown == {
        place.third.version: "one of the newest",
        place.second.version: "serves",
        place.first.version: "stood before what serves",
    }
    roll_back(place.config, place.third.version)
    before = place.tags
    assert stays(prune(place.config, 1, engine, remove=False, bundles=False)) == {
        place.third.version: "serves",
        place.second.version: "stood before what serves",
        place.first.version: "",
    }
    assert place.tags == before
    done = place.typed("prune", "--keep", "1", "--yes")
    assert done.returncode == 0, done.stderr
    assert "removed" in done.stdout
    assert set(place.tags) == {place.third.version, place.second.version, "production"}
    names = tags_of(engine, repository)
    assert f"{repository}:{place.first.version}" not in names
    assert f"{repository}:{place.second.version}" in names
    folder = place.config.paths.releases / place.first.version
    assert (folder / "bundle").is_dir() and (folder / "record" / "pruned.json").exists()
    gone = read_audit(place.config.paths.releases)[-1]
    assert (gone.deed, gone.subject) == (Deed.REMOVED, place.first.version)
    assert (gone.digest, gone.why, gone.who) == (place.first.digest, "image", person_here())
    listing = list_releases(place.config)
    assert listing.problems == () and listing.releases[-1].pruned
    with pytest.raises(ReleaseError, match="does not hold the image"):
        roll_back(place.config, place.first.version)


def test_an_image_that_another_tag_shares_stays(place: Place, engine: DockerClient) -> None:
    """Deleting a manifest removes every tag on it."""
    place.put(place.first.digest, "kept-for-the-audit")
    judged = prune(place.config, 1, engine, remove=True, bundles=True)
    assert stays(judged)[place.first.version] == "is the same image as kept-for-the-audit"
    assert place.tags["kept-for-the-audit"] == place.first.digest
    with Registry(place.config.release) as registry:
        registry.put(manifest_of(registry, place.second), "other")
        registry.delete(place.first.digest)
    assert set(place.tags) == {place.third.version, place.second.version, "production", "other"}


def manifest_of(registry: Registry, record: ReleaseRecord) -> Manifest:
    found = registry.manifest(record.digest)
    assert found is not None
    return found


def test_bundles_go_only_where_that_is_asked_for(place: Place, engine: DockerClient) -> None:
    prune(place.config, 1, engine, remove=True, bundles=True)
    folders = {
        record.version: bundle_of(place.config.paths.releases, record.version).is_dir()
        for record in (place.first, place.second, place.third)
    }
    assert list(folders.values()) == [False, True, True]
    record = place.config.paths.releases / place.first.version / "record"
    assert {path.name for path in record.iterdir()} >= {"push.json", "pruned.json"}


def test_a_registry_that_deletes_nothing_is_named_with_its_setting(
    place: Place, engine: DockerClient, registry_of_session: RegistryProcess
) -> None:
    program = registry_of_session.program
    keeping = RegistryProcess(
        program, registry_of_session.storage.parent / "keeping", deletes=False,
        storage=registry_of_session.storage,
    )  # fmt: skip
    keeping.start()
    release = place.config.release.model_copy(update={"registry": keeping.address})
    config = place.config.model_copy(update={"release": release})
    try:
        with pytest.raises(RegistryRefused, match=r"switch that on .*storage\.delete\.enabled"):
            prune(config, 1, engine, remove=True, bundles=False)
    finally:
        keeping.stop()
    assert place.tags[place.first.version] == place.first.digest
