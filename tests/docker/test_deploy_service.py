"""The stack's service follows `production`: without a gap, or it stays as it was."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from docker import DockerClient
from docker.errors import APIError
from docker.models.containers import Container

from ml_tasks.config import save_config
from ml_tasks.deploy_service import follow_production
from ml_tasks.deployment.images.image_ref import ImageRef
from ml_tasks.errors import AuditError, ConfigError, ReleaseError, StorageError
from ml_tasks.records import ReleaseRecord
from ml_tasks.release.audit import Deed, read_audit
from ml_tasks.release.bundle import bundle_of
from ml_tasks.release.confinement import PORT
from ml_tasks.release.registry_api import Registry
from ml_tasks.release.service_place import ServicePlace
from ml_tasks.release.serving_containers import ALIAS, ServingContainers, Wanted
from tests.counts import cases
from tests.docker.registry_process import RegistryProcess
from tests.docker.serving_stack import NGINX, ServingStack, impatient
from tests.toy_run import phantom
from tests.waiting import PATIENCE, ended, until

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def stack_of_module(
    tmp_path_factory: pytest.TempPathFactory,
    engine: DockerClient,
    registry_of_session: RegistryProcess,
    serving_base: str,
    base_images: tuple[ImageRef, ...],
) -> Iterator[ServingStack]:
    assert NGINX in {image.name for image in base_images}
    registry_of_session.start()
    stack = ServingStack(tmp_path_factory.mktemp("live"), engine, registry_of_session, serving_base)
    yield stack
    stack.close()


@pytest.fixture
def stack(stack_of_module: ServingStack, registry: RegistryProcess) -> ServingStack:
    """Nothing is deployed, and the first release is in production."""
    for container in stack_of_module.containers():
        container.remove(force=True, v=True)
    stack_of_module.production_is(stack_of_module.first)
    return stack_of_module


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks the front, so that nothing waits until it knows who serves."""
    monkeypatch.setattr("ml_tasks.release.service_switch.FRONT_SECONDS", 0.0)


def the_only(stack: ServingStack) -> Container:
    (container,) = stack.containers()
    return container


def test_the_first_release_serves_confined_and_the_same_again_changes_nothing(
    stack: ServingStack,
) -> None:
    nothing = httpx.get(f"{stack.address}/v1/model", timeout=PATIENCE, trust_env=False)
    assert (nothing.status_code, nothing.json()["error"]) == (503, "no_release")
    done = stack.deploy()
    assert (done.version, done.digest, done.started) == (
        stack.first.version,
        stack.first.digest,
        True,
    )
    assert stack.answers_as() == stack.first.version
    container = the_only(stack)
    host = container.attrs["HostConfig"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"]
    assert (host["Memory"], host["PidsLimit"]) == (1 << 30, 256)
    assert host["SecurityOpt"] == ["no-new-privileges"] and list(host["Tmpfs"]) == ["/tmp"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert container.attrs["Config"]["User"] == "10001:10001"
    again = stack.deploy()
    assert (again.started, again.ended, again.container) == (False, (), container.name)
    assert the_only(stack).id == container.id
    lines = [e for e in read_audit(stack.config.paths.releases) if e.deed is Deed.DEPLOYED]
    assert (lines[-1].subject, lines[-1].digest) == (stack.first.version, stack.first.digest)
    assert [line.digest for line in lines[-2:]].count(stack.first.digest) == 1


def test_a_move_is_followed_without_a_failed_answer(
    stack: ServingStack, record_property: Callable[[str, object], None]
) -> None:
    stack.deploy()
    stack.production_is(stack.second)
    with stack.asking() as client:
        done = stack.deploy()
        stop = len(client.answers)
        while len(client.answers) < stop + 20:
            threading.Event().wait(0.05)
    assert done.ended == (stack.first.version,)
    told = f"{len(client.answers)} asked, {len(client.failed)} failed"
    record_property("answers", told)
    record_property("longest gap, s", round(client.longest_gap, 2))
    gap = f"longest gap {client.longest_gap:.2f} s, the machine's own {client.stall:.2f} s"
    logging.getLogger(__name__).warning("%s, %s", told, gap)
    assert client.failed == []
    assert client.longest_gap < 3 + client.stall
    assert client.versions == [stack.first.version, stack.second.version]
    assert {answer.version for answer in client.answers[-15:]} == {stack.second.version}
    assert the_only(stack).labels["mammography.service.digest"] == stack.second.digest
    names = list(stack.place.statistics.iterdir())
    assert [path.name for path in names] == ["images.jsonl"], "both wrote their statistics there"


def test_an_answer_in_flight_at_the_switch_arrives(
    stack: ServingStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many through the front, which draws who answers, and of one that is surely the old
    one's: at its own address, and not wholly sent before the old one is told to end."""
    stack.deploy()
    old = f"http://{stack.address_of(the_only(stack))}:{PORT}"
    stack.production_is(stack.second)
    film, answers, end = phantom(110, 3000, 2400), list[httpx.Response](), ServingContainers.end
    ending = threading.Event()

    def ask(address: str, held: bool = False) -> None:
        files = [("file", ("film", film))] * 2
        with httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False) as http:
            request = http.build_request("POST", "/v1/predict", files=files)
            body = request.read()

            def parts() -> Iterator[bytes]:
                yield body[:-1]
                assert not held or ending.wait(PATIENCE)
                yield body[-1:]

            kind = {name: request.headers[name] for name in ("content-type", "content-length")}
            answers.append(http.post("/v1/predict", content=parts(), headers=kind))

    def of_old(line: str) -> bool:
        found = httpx.get(f"{old}/metrics", timeout=PATIENCE, trust_env=False).text
        return line in found.splitlines()

    drawn = [threading.Thread(target=ask, args=(stack.address,)) for _ in range(8)]
    direct = threading.Thread(target=ask, args=(old, True))

    def end_while_it_answers(*given: Any) -> None:
        direct.start()
        # The one that asks is one of them.
        until(lambda: of_old("mammo_requests_in_flight 2.0"), "the old one has no request")
        for thread in drawn:
            thread.start()
        idle = "mammo_queue_working 0.0"
        until(lambda: not (of_old(idle) and any(each.is_alive() for each in drawn)), idle)
        ending.set()
        end(*given)

    monkeypatch.setattr(ServingContainers, "end", end_while_it_answers)
    stack.deploy()
    ended(direct, *drawn)
    assert [answer.status_code for answer in answers] == [200] * (len(drawn) + 1)
    versions = {answer.json()["model_version"] for answer in answers}
    assert stack.first.version in versions
    assert stack.answers_as() == stack.second.version


def test_a_release_that_never_becomes_ready_leaves_the_old_one_serving(
    stack: ServingStack,
) -> None:
    stack.deploy()
    old = the_only(stack)
    stack.production_is(stack.stuck)
    with (
        stack.asking() as client,
        pytest.raises(ReleaseError, match="removed again; what served goes on") as refused,
    ):
        follow_production(impatient(stack.config, 15), stack.engine, stack.place)
    assert "still reading weights" in str(refused.value)
    assert (client.failed, client.versions) == ([], [stack.first.version])
    assert the_only(stack).id == old.id
    noted = [e for e in read_audit(stack.config.paths.releases) if e.deed is Deed.DEPLOYED]
    assert stack.stuck.digest not in [entry.digest for entry in noted]


def put_by_hand(stack: ServingStack, record: ReleaseRecord) -> None:
    with Registry(stack.config.release) as registry:
        manifest = registry.manifest(record.digest)
        assert manifest is not None
        registry.put(manifest, "production")


def test_what_this_pipeline_did_not_ship_is_not_served(stack: ServingStack, unasked: None) -> None:
    stack.deploy()
    old = the_only(stack)
    put_by_hand(stack, stack.second)
    with pytest.raises(ReleaseError, match=f"is {stack.second.version}, but the ledger says that"):
        stack.deploy()
    put_by_hand(stack, stack.first)
    stack.production_is(stack.second)
    home = bundle_of(stack.config.paths.releases, stack.second.version)
    record, card = home.parent / "record", home / "model_card.md"
    kept = card.read_bytes()
    card.chmod(0o644)
    card.write_bytes(b"may be used for everything\n")
    with pytest.raises(ReleaseError, match="as it was signed .bundle: .*what served goes on"):
        stack.deploy()
    card.write_bytes(kept)
    statements = {path: path.read_bytes() for path in record.glob("statement.dsse*")}
    for path in statements:
        path.unlink()
    with pytest.raises(ReleaseError, match="as it was signed .statement: .*what served goes on"):
        stack.deploy()
    for path, data in statements.items():
        path.write_bytes(data)
    audit = stack.config.paths.releases / "audit.jsonl"
    lines = audit.read_bytes()
    audit.write_bytes(b'{"who": "nobody"}\n')
    with pytest.raises(AuditError):
        stack.deploy()
    audit.write_bytes(lines)
    # Not by the front, which would keep its address for a second.
    url = f"http://{stack.address_of(old)}:{PORT}/ready"
    served = httpx.get(url, timeout=PATIENCE, trust_env=False).json()
    assert (the_only(stack).id, served["model_version"]) == (old.id, stack.first.version)
    assert stack.deploy().version == stack.answers_as() == stack.second.version


def test_a_service_that_is_gone_or_lost_its_name_is_mended(
    stack: ServingStack, unasked: None
) -> None:
    stack.deploy()
    the_only(stack).kill()
    mended = stack.deploy()
    assert mended.started and stack.answers_as() == stack.first.version
    network = stack.engine.networks.get(stack.network)
    nameless = the_only(stack)
    network.disconnect(nameless)
    network.connect(nameless)
    assert stack.deploy().started
    assert the_only(stack).id != nameless.id and stack.answers_as() == stack.first.version


def test_other_settings_of_the_service_make_it_start_anew(
    stack: ServingStack, unasked: None
) -> None:
    stack.deploy()
    keyed = ServicePlace(stack.network, stack.place.statistics, {"MAMMO_API_KEY": "Zr8-q2"})
    assert follow_production(stack.config, stack.engine, keyed).started
    answer = httpx.get(f"{stack.address}/v1/model", timeout=PATIENCE, trust_env=False)
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert "Zr8-q2" not in repr(keyed)


def test_a_container_that_cannot_be_started_is_not_left(stack: ServingStack) -> None:
    """Else each run of the schedule leaves another one, 144 a day."""
    tag = f"{stack.image}-no-program:1"
    stack.engine.images.build(fileobj=io.BytesIO(b'FROM scratch\nCMD ["/none"]\n'), tag=tag)
    containers = ServingContainers(stack.engine, stack.place)
    with pytest.raises(APIError, match="/none"):
        containers.start(Wanted("v", "sha256:0", tag))
    assert stack.containers() == []


def test_a_log_that_cannot_be_written_leaves_one_version_serving(
    stack: ServingStack, unasked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.deploy()
    stack.production_is(stack.second)

    def full(*_: object, **__: object) -> None:
        raise StorageError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("ml_tasks.deploy_service.note", full)
        with pytest.raises(StorageError, match="no space left"):
            stack.deploy()
    assert stack.answers_as() == stack.second.version
    assert len(stack.containers()) == 1
    assert not stack.deploy().started  # only the line is added
    assert read_audit(stack.config.paths.releases)[-1].digest == stack.second.digest


def test_two_stacks_on_one_engine_leave_each_other_alone(
    stack: ServingStack, unasked: None
) -> None:
    stack.deploy()
    own = the_only(stack)
    name = f"{stack.image}-other_default"
    other = ServicePlace(name, stack.place.statistics)
    with pytest.raises(ConfigError, match=f"{name}.*which the Docker engine does not know"):
        follow_production(stack.config, stack.engine, other)
    network = stack.engine.networks.create(name)
    try:
        assert follow_production(stack.config, stack.engine, other).started
        stack.deployed(stack.second)
        (theirs,) = stack.containers(name)
        assert theirs.labels["mammography.service.digest"] == stack.first.digest
        assert theirs.attrs["NetworkSettings"]["Networks"][name]["Aliases"].count(ALIAS) == 1
        assert the_only(stack).id != own.id
    finally:
        for container in stack.containers(name):
            container.remove(force=True, v=True)
        network.remove()


# Requests to the engine before which all is open: who serves, and under which name.
_TURNS = ("/start", "/disconnect", "/connect", "/stop", "DELETE /")


def in_a_process(
    file: Path, stack: ServingStack, at: str = "0"
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.docker.killed_deploy", str(file), stack.network, at]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def points(file: Path, stack: ServingStack) -> list[str]:
    """Three turns; in full each of them, and twenty steps of all."""
    if not cases(0, 1):
        return [_TURNS[0], _TURNS[2], _TURNS[3]]
    whole = in_a_process(file, stack)
    assert whole.stdout, whole.stderr
    steps = int(whole.stdout)
    return [*_TURNS, *sorted({str(1 + round(n * (steps - 1) / 19)) for n in range(20)}, key=int)]


def test_killed_at_any_step_something_serves_and_the_next_run_tidies_up(
    stack: ServingStack, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    save_config(stack.config, file)
    stack.deploy()
    left = dict[str, int]()
    with stack.asking() as client:
        for number, at in enumerate(points(file, stack)):
            wanted = (stack.second, stack.first)[number % 2]
            stack.production_is(wanted)
            killed = in_a_process(file, stack, at)
            assert killed.returncode == -9, f"before {at}: {killed.stderr}"
            left[at] = len(stack.containers())
            done = stack.deploy()
            assert the_only(stack).name == done.container, f"before {at}"
            assert stack.answers_as() == wanted.version
    assert left["/start"] == left["/connect"] == left["/stop"] == 2, "the old and the new"
    assert client.failed == []
