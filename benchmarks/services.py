"""The services that are compared, as processes that are started, halted, watched and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.table import PROJECT

PEERS = PROJECT / ".local" / "peers"
INSTALL = "make peers"
_PYTHON = Path(sys.executable)
_STARTING_SECONDS = 120.0


@dataclass(frozen=True)
class Service:
    """How a service is started, and where it takes a film."""

    name: str
    command: tuple[str, ...]  # {port} stands for the port
    path: str
    ready: str = "/health"
    environment: Mapping[str, str] = field(default_factory=dict)


OURS = Service(
    "ours",
    (str(_PYTHON), "-m", "ml_tasks.serving"),
    "/v1/predict",
    "/ready",
)
ON_TENSORFLOW = Service(
    "ours on TensorFlow",
    (str(_PYTHON), "-m", "benchmarks.peer_services.on_tensorflow"),
    "/v1/predict",
    "/ready",
)
GUIDE = Service(
    "FastAPI and model.predict",
    (str(_PYTHON), "-m", "benchmarks.peer_services.guide", "{port}"),
    "/predict",
)


def peers(cores: int) -> list[Service]:
    """LitServe and BentoML, each with one worker on all cores and with a worker for each core."""
    return [
        made
        for workers in (1, cores)
        for made in (_litserve(workers, cores // workers), _bentoml(workers, cores // workers))
    ]


def _litserve(workers: int, threads: int) -> Service:
    module = "benchmarks.peer_services.litserve_service"
    return Service(
        f"LitServe, {workers}×{threads}",
        (str(PEERS / "bin" / "python"), "-m", module, "{port}"),
        "/predict",
        environment={"PEER_WORKERS": str(workers), "PEER_THREADS": str(threads)},
    )


def _bentoml(workers: int, threads: int) -> Service:
    module = "benchmarks.peer_services.bentoml_service:Mammography"
    return Service(
        f"BentoML, {workers}×{threads}",
        (str(PEERS / "bin" / "bentoml"), "serve", module, "--port", "{port}"),
        "/predict",
        "/readyz",
        {
            "PEER_WORKERS": str(workers),
            "PEER_THREADS": str(threads),
            "BENTOML_DO_NOT_TRACK": "True",
        },
    )


@dataclass
class Running:
    """A service that runs, in a process group of its own."""

    service: Service
    port: int
    process: subprocess.Popen[bytes]
    ready_seconds: float  # from the start of the process to its first 200

    def halt(self) -> None:
        """Takes the processor from it, so that its idle work disturbs nobody."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Gives it back."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def megabytes(self, figure: str) -> float:
        """VmRSS, what it holds now, or VmHWM, the most it ever held; of its main process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{figure}:"))
        return int(line.split()[1]) / 1024

    def end(self) -> None:
        """Ends the whole group."""
        self.go_on()
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=15)


@contextmanager
def running(service: Service, bundle: Path, log: Path) -> Iterator[Running]:
    """The service with this release, ready to answer; its output goes to `log`.

    Raises:
        RuntimeError: it ended or did not become ready.
    """
    port = _free_port()
    words = [word.replace("{port}", str(port)) for word in service.command]
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MAMMO_RELEASE": str(bundle),
        "MAMMO_HOST": "127.0.0.1",
        "MAMMO_PORT": str(port),
        **service.environment,
    }
    with log.open("wb") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(
            words,
            cwd=PROJECT,
            env=environment,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    found = Running(service, port, process, 0.0)
    try:
        _wait(found, log)
        found.ready_seconds = time.perf_counter() - start
        yield found
    finally:
        found.end()


def _wait(found: Running, log: Path) -> None:
    deadline = time.monotonic() + _STARTING_SECONDS
    while not _answers(found.port, found.service.ready):
        if found.process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{found.service.name} did not become ready: {said}")
        time.sleep(0.005)


def _answers(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            return b" 200" in connection.makefile("rb").readline()
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
