"""A stack's network with the real front on it, and releases that really serve."""

from __future__ import annotations

import io
import time
from pathlib import Path
from uuid import uuid4

import httpx
from docker import DockerClient
from docker.models.containers import Container

from ml_tasks.config import Config
from ml_tasks.config_release import SmokeLimits
from ml_tasks.deploy_service import Deployed, follow_production
from ml_tasks.push_model import push_model
from ml_tasks.records import ReleaseRecord
from ml_tasks.release.champion import Champion
from ml_tasks.release.confinement import PORT, confined
from ml_tasks.release.context import write_context
from ml_tasks.release.ledger import read_moves
from ml_tasks.release.rollback import roll_back
from ml_tasks.release.service_place import ServicePlace
from ml_tasks.release.service_switch import FRONT_SECONDS
from ml_tasks.release.serving_containers import LABEL
from tests.builders import NO_CHAMPION
from tests.docker.asking_client import AskingClient
from tests.docker.image_tags import tags_of
from tests.docker.light_release import in_production, said_to_be_tested
from tests.docker.real_release import build_on
from tests.docker.registry_process import RegistryProcess
from tests.toy_run import make_toy_run
from tests.waiting import PATIENCE

NGINX = "mammography-nginx:1"
FRONT = Path(__file__).resolve().parents[2] / "docker" / "front.conf"
_STUCK = b"""
CMD ["python", "-c", "print('still reading weights', flush=True); import time; time.sleep(600)"]
"""


class ServingStack:
    """Three releases of one pipeline, the last of which never becomes ready, and one network."""

    def __init__(
        self, folder: Path, engine: DockerClient, registry: RegistryProcess, base: str
    ) -> None:
        self.engine, self.registry, self.root = engine, registry, folder / "state"
        self.image = f"mammography-live-{uuid4().hex[:8]}"
        self.network = f"{self.image}_default"
        engine.networks.create(self.network, check_duplicate=True)
        self.place = ServicePlace(self.network, folder / "statistics")
        self.front = self._start_front()
        self.first = self._ship(1, NO_CHAMPION, base)
        self.second = self._ship(2, in_production(self.first), base)
        self.stuck = self._ship(3, in_production(self.second), self._stuck_base(base))

    def close(self) -> None:
        """Removes all containers, the network and the images."""
        for container in [self.front, *self.containers()]:
            container.remove(force=True, v=True)
        self.engine.networks.get(self.network).remove()
        for tag in tags_of(self.engine, self.image):
            self.engine.images.remove(tag, force=True)

    def production_is(self, record: ReleaseRecord) -> None:
        """Moves `production` there as people do, unless it is there."""
        moves = read_moves(self.config.paths.releases) or []
        serving = self.registry.tags(self.image)["production"]
        if (moves[-1].digest, serving) != (record.digest, record.digest):
            roll_back(self.config, record.version, "for a test")

    def deploy(self) -> Deployed:
        """The stage, in this process."""
        return follow_production(self.config, self.engine, self.place)

    def deployed(self, record: ReleaseRecord) -> Deployed:
        """This release in production, and the stage run to its end."""
        self.production_is(record)
        return self.deploy()

    def containers(self, network: str = "") -> list[Container]:
        """All containers of the service, in whatever state."""
        mark: dict[str, str | list[str] | bool] = {"label": f"{LABEL}={network or self.network}"}
        return self.engine.containers.list(all=True, filters=mark)

    def answers_as(self) -> str:
        """The version that answers through the front, which keeps an address for two seconds at
        most: where a test does not let the switch wait for that, it may be of one that has ended.
        That no answer fails in a real switch is seen by who asks all the while.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = httpx.get(f"{self.address}/ready", timeout=PATIENCE, trust_env=False)
            if answer.status_code == 200 or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["model_version"])

    def asking(self) -> AskingClient:
        """One that asks the front, which has forgotten by then whom a test before ended."""
        time.sleep(FRONT_SECONDS)
        return AskingClient(self.address)

    @property
    def address(self) -> str:
        return f"http://{self.address_of(self.front)}:{PORT}"

    def address_of(self, container: Container) -> str:
        container.reload()
        networks = container.attrs["NetworkSettings"]["Networks"]
        return str(networks[self.network]["IPAddress"])

    def _ship(self, day: int, champion: Champion, base: str) -> ReleaseRecord:
        toy = make_toy_run(
            self.root, f"run-{day}", registry=self.registry.address, image=self.image,
            champion=champion,
        )  # fmt: skip
        paths = toy.config.paths.model_copy(update={"statistics": self.place.statistics})
        tracking = toy.config.tracking.model_copy(update={"enabled": False})
        update = {"paths": paths, "tracking": tracking}
        self.config: Config = toy.config.model_copy(update=update)
        build_on(toy, day, self.engine, base)
        said_to_be_tested(toy)
        return push_model(toy.run, toy.config, self.engine)

    def _stuck_base(self, base: str) -> str:
        """A base whose service never listens, and which claims to be of this code."""
        context = io.BytesIO()
        write_context(context, {"Dockerfile": f"FROM {base}\n".encode() + _STUCK})
        context.seek(0)
        tag = f"{self.image}-base:stuck"
        self.engine.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
        return tag

    def _start_front(self) -> Container:
        front = self.engine.containers.run(
            NGINX,
            ["nginx", "-c", "/etc/mammo/front.conf"],
            detach=True,
            user="999:999",
            network=self.network,
            tmpfs={"/tmp": "rw,noexec,nosuid,size=256m"},
            volumes={str(FRONT): {"bind": "/etc/mammo/front.conf", "mode": "ro"}},
            **confined(1 << 30, 32),
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                url = f"http://{self.address_of(front)}:{PORT}/healthz"
                assert httpx.get(url, trust_env=False).text == "ok\n"
                return front
            except httpx.TransportError:
                assert time.monotonic() < deadline, front.logs()
                time.sleep(0.05)


def impatient(config: Config, seconds: float) -> Config:
    """The same, that waits so long for a service to become ready."""
    smoke: SmokeLimits = config.release.smoke.model_copy(update={"ready_seconds": seconds})
    release = config.release.model_copy(update={"smoke": smoke})
    return config.model_copy(update={"release": release})
