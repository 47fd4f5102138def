"""A real image registry as a process of its own, that can be stopped and started again."""

from __future__ import annotations

import signal
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from ml_tasks.errors import StackError
from ml_tasks.local_stack.registry import registry_program
from ml_tasks.storage import locked
from tests.free_ports import free_ports
from tests.waiting import PATIENCE

_TRIES = 3  # to download: a mirror may fail for a moment


def debians_registry(machine: Path) -> Path:
    """Debian's docker-registry for all test processes; unpacked once, where it is not installed.

    Raises:
        StackError: it cannot be had.
    """
    with locked(machine):
        for _ in range(_TRIES - 1):
            try:
                return registry_program(machine)
            except StackError:
                time.sleep(5)
        return registry_program(machine)


class RegistryProcess:
    """Debian's docker-registry on a free port of this machine; what it holds survives a stop."""

    def __init__(
        self,
        program: Path,
        folder: Path,
        users: str = "",
        certificate: tuple[Path, Path] | None = None,
        deletes: bool = True,
        storage: Path | None = None,
    ) -> None:
        """`users` is an htpasswd file's content; `certificate` and its key make it speak TLS.

        Two may share one `storage`.
        """
        self.program = program
        self.storage = storage or folder / "storage"
        self._trusted: Any = (
            ssl.create_default_context(cafile=str(certificate[0])) if certificate else True
        )
        self.speaks_tls = certificate is not None
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        self._settings = folder / "registry.yml"
        self._log = folder / "registry.log"
        content: dict[str, Any] = {
            "version": 0.1,
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": deletes},
            },
            "http": {"addr": self.address},
        }
        folder.mkdir(parents=True, exist_ok=True)
        if users:
            (folder / "htpasswd").write_text(users)
            content["auth"] = {"htpasswd": {"realm": "registry", "path": str(folder / "htpasswd")}}
        if certificate:
            content["http"]["tls"] = dict(
                zip(("certificate", "key"), map(str, certificate), strict=True)
            )
        self._settings.write_text(yaml.safe_dump(content))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, unless it runs, and waits until it answers."""
        if self._process is not None:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.program), "serve", str(self._settings)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if self._get("/v2/").status_code in (200, 401):
                    return
            except httpx.TransportError:
                pass
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it; starting again brings back what it held."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=PATIENCE)
            self._process = None

    def kill(self) -> None:
        """Ends it at once, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=PATIENCE)
            self._process = None

    def _get(self, path: str) -> httpx.Response:
        url = f"{'https' if self.speaks_tls else 'http'}://{self.address}{path}"
        return httpx.get(url, timeout=PATIENCE, trust_env=False, verify=self._trusted)

    def tags(self, repository: str) -> dict[str, str]:
        """Every tag of a repository with its digest, asked without the engine."""
        url = f"http://{self.address}/v2/{repository}"
        kind = {"accept": "application/vnd.docker.distribution.manifest.v2+json"}
        with httpx.Client(timeout=PATIENCE, trust_env=False) as client:
            names = client.get(f"{url}/tags/list").json().get("tags") or []
            found = {name: client.head(f"{url}/manifests/{name}", headers=kind) for name in names}
        return {name: answer.headers["docker-content-digest"] for name, answer in found.items()}

    def image_bytes(self, repository: str, digest: str) -> int:
        """What an image takes in the registry: its layers, compressed, and its configuration."""
        url = f"http://{self.address}/v2/{repository}/manifests/{digest}"
        kind = {"accept": "application/vnd.docker.distribution.manifest.v2+json"}
        manifest = httpx.get(url, headers=kind, timeout=PATIENCE, trust_env=False).json()
        return sum(int(part["size"]) for part in (manifest["config"], *manifest["layers"]))
