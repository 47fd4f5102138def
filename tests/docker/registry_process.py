"""A real image registry as a process of its own, that can be stopped and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import yaml


class RegistryProcess:
    """Debian's docker-registry on a free port of this machine; what it holds survives a stop."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self._settings = folder / "registry.yml"
        self._log = folder / "registry.log"
        content = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
            "http": {"addr": self.address},
        }
        folder.mkdir(parents=True, exist_ok=True)
        self._settings.write_text(yaml.safe_dump(content))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, unless it runs, and waits until it answers."""
        if self._process is not None:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), "serve", str(self._settings)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 20
        while True:
            try:
                if httpx.get(f"http://{self.address}/v2/", trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it; starting again brings back what it held."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=20)
            self._process = None

    def tags(self, repository: str) -> dict[str, str]:
        """Every tag of a repository with its digest, asked without the engine."""
        url = f"http://{self.address}/v2/{repository}"
        names = httpx.get(f"{url}/tags/list", trust_env=False).json().get("tags") or []
        kind = {"accept": "application/vnd.docker.distribution.manifest.v2+json"}
        return {
            name: httpx.head(f"{url}/manifests/{name}", headers=kind, trust_env=False).headers[
                "docker-content-digest"
            ]
            for name in names
        }

    def image_bytes(self, repository: str, digest: str) -> int:
        """What an image takes in the registry: its layers, compressed, and its configuration."""
        url = f"http://{self.address}/v2/{repository}/manifests/{digest}"
        kind = {"accept": "application/vnd.docker.distribution.manifest.v2+json"}
        manifest = httpx.get(url, headers=kind, trust_env=False).json()
        return sum(int(part["size"]) for part in (manifest["config"], *manifest["layers"]))
