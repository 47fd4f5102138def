"""A release image run in isolation: no outside network, nothing writable, no rights."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from docker import DockerClient
from docker.errors import DockerException
from docker.models.containers import Container

from ml_tasks.errors import EngineUnavailable, ReleaseError
from ml_tasks.release import inside
from ml_tasks.release.confinement import MEMORY, PORT, PROCESSES, USER, confined
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.own_container import own_container

log = logging.getLogger(__name__)
# One line for each request of the readiness loop would bury what matters.
logging.getLogger("httpx").setLevel(logging.WARNING)

_LABEL = "mammography.smoke-test"
_ANEW = "run `mammo serving-base`, then build_image again"
_ASK_EVERY = 0.1  # seconds


@dataclass(frozen=True)
class RunningImage:
    """A started container and an HTTP client bound to it."""

    container: Container
    http: httpx.Client

    def wait_until_ready(self, seconds: float) -> float:
        """Waits for /ready to answer 200; gives the seconds it took.

        Raises:
            ReleaseError: the container ended, or is not ready in time; with its last log lines.
        """
        started = time.monotonic()
        reason = "nothing listens yet"
        while time.monotonic() - started < seconds:
            try:
                answer = self.http.get("/ready")
                if answer.status_code == 200:
                    return time.monotonic() - started
                reason = answer.text
                if '"release_broken"' in reason:
                    raise ReleaseError(f"the image cannot load its release: {reason}; {_ANEW}")
            except httpx.TransportError as error:
                reason = str(error)
            self.container.reload()
            if self.container.status != "running":
                raise ReleaseError(
                    f"the image ended instead of serving:\n{self.last_lines()}\n{_ANEW}"
                )
            time.sleep(_ASK_EVERY)
        raise ReleaseError(
            f"the image was not ready within {seconds:g} s ({reason}):\n{self.last_lines()}\n"
            "raise release.smoke.ready_seconds if this machine is slow"
        )

    def post(self, path: str, data: bytes) -> httpx.Response:
        """One file as a multipart form.

        Raises:
            ReleaseError: no answer; with the container's last lines.
        """
        with self._answering():
            return self.http.post(path, files={"file": ("image", data)})

    def get(self, path: str) -> httpx.Response:
        """One page; raises as `post`."""
        with self._answering():
            return self.http.get(path)

    def look_inside(self) -> dict[str, Any]:
        """What `inside.look` finds, run by the image's own Python in the container.

        Raises:
            ReleaseError: it does not run there.
        """
        done = self.container.exec_run(["python", "-c", inspect.getsource(inside)], demux=True)
        output: Any = done.output  # demux: what it wrote, and what it complained of
        if done.exit_code:
            words = (output[1] or b"").decode(errors="replace").strip()[-500:]
            raise ReleaseError(f"the image cannot be looked at from inside: {words}; {_ANEW}")
        found: dict[str, Any] = json.loads(output[0])
        return found

    def limits(self) -> dict[str, int]:
        """Bytes of memory and processes that the kernel allows the container."""
        stats = self._stats()
        return {
            "memory": int(stats.get("memory_stats", {}).get("limit", 0)),
            "processes": int(stats.get("pids_stats", {}).get("limit", 0)),
        }

    def outward(self) -> list[str]:
        """The names of its networks that lead outside."""
        self.container.reload()
        names = self.container.attrs["NetworkSettings"]["Networks"]
        client = self.container.client
        assert client is not None  # one made by a client always knows it
        return [name for name in names if not client.networks.get(name).attrs["Internal"]]

    def peak_bytes(self) -> int:
        """The most memory it ever held, with the files it has read; 0 where that is not counted."""
        return int(self._stats().get("memory_stats", {}).get("max_usage", 0))

    def wait_for_end(self, until: float) -> int | None:
        """Waits for the container to end, to `until` of the monotonic clock; gives its status."""
        while True:
            self.container.reload()
            if self.container.status != "running":
                return int(self.container.attrs["State"]["ExitCode"])
            if time.monotonic() > until:
                return None
            time.sleep(_ASK_EVERY)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise ReleaseError(
                f"the image stopped answering ({error}); its last lines:\n{self.last_lines()}"
            ) from error

    def _stats(self) -> dict[str, Any]:
        # one_shot: else the engine waits a second for a second look.
        found: Any = self.container.stats(stream=False, one_shot=True)
        return dict(found)

    def last_lines(self, count: int = 15) -> str:
        """What the container logged last."""
        return self.container.logs(tail=count).decode(errors="replace").strip()


@contextmanager
def isolated(client: DockerClient, image_id: str, owner: str) -> Iterator[RunningImage]:
    """Runs an image on a network of its own that leads nowhere; both are removed at the end.

    A worker that is itself in a container joins that network, which it would not reach otherwise.
    What a killed attempt of the same `owner` left behind is removed first.

    Raises:
        ReleaseError: the engine refuses to run the image.
        EngineUnavailable: the engine stopped answering.
    """
    mark = mark_of(owner)
    try:
        with engine_errors(client, "the image was run"):
            remove_marked(client, mark)
            try:
                yield _start(client, image_id, mark)
            finally:
                _tidy(client, mark)
    except DockerException as error:
        raise ReleaseError(f"the engine did not run {image_id[:19]}: {error}") from error


def mark_of(owner: str) -> str:
    """The label (name=value) of what belongs to an owner: a run, by its folder."""
    # A value of fixed form: names may hold anything.
    return f"{_LABEL}={hashlib.sha256(owner.encode()).hexdigest()[:12]}"


def remove_marked(client: DockerClient, mark: str) -> None:
    """Removes every container and network that carries the label `mark` (name=value)."""
    for container in client.containers.list(all=True, filters={"label": mark}):
        container.remove(force=True, v=True)
    for network in client.networks.list(filters={"label": mark}, greedy=True):
        for worker in network.attrs.get("Containers") or ():  # that has joined it, see `isolated`
            network.disconnect(worker, force=True)
        network.remove()


def _start(client: DockerClient, image_id: str, mark: str) -> RunningImage:
    name, _, value = mark.partition("=")
    network_name = f"mammography-smoke-{value}"
    network = client.networks.create(network_name, internal=True, labels={name: value})
    worker = own_container(client)
    if worker is not None:
        network.connect(worker)
    container = client.containers.create(
        image_id,
        labels={name: value},
        network=network_name,
        user=USER,
        **confined(MEMORY, PROCESSES),
    )
    container.start()
    container.reload()
    address = container.attrs["NetworkSettings"]["Networks"][network_name]["IPAddress"]
    # trust_env: a proxy of the environment would not find this network.
    http = httpx.Client(base_url=f"http://{address}:{PORT}", timeout=60, trust_env=False)
    return RunningImage(container, http)


def _tidy(client: DockerClient, mark: str) -> None:
    try:
        with engine_errors(client, "the test container was removed"):
            remove_marked(client, mark)
    except (DockerException, EngineUnavailable) as error:
        # Not raised: it would hide why the test ended. The next attempt removes what is left.
        log.warning("the test container could not be removed: %s", error)
