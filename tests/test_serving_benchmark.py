"""The benchmark of the service runs, with a toy in the network's place, and says what it means."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import image_size, over_http, starting
from benchmarks.__main__ import missed_goals
from benchmarks.load import many_at_once, one_by_one, upload
from benchmarks.over_http import Counts
from benchmarks.served_release import ServedRelease
from benchmarks.services import OURS
from benchmarks.table import Row, not_measured
from benchmarks.timing import median_of
from tests.toy_run import make_bundle, phantom


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> ServedRelease:
    folder = tmp_path_factory.mktemp("served")
    return ServedRelease(make_bundle(folder), folder, (phantom(60), phantom(120)))


def row(rows: list[Row], start: str) -> Row:
    return next(each for each in rows if each.what.startswith(start))


def test_the_service_is_measured_over_http_beside_the_bare_model(
    release: ServedRelease, tmp_path: Path
) -> None:
    rows = over_http.rows(release, tmp_path, [OURS], Counts(2, 3, 8))
    added = row(rows, "Over HTTP, one client: milliseconds that the service adds")
    share = row(rows, "16 clients: images a second of the service")
    client = row(rows, "Share of one core that the client itself takes")
    assert all(np.isfinite(each.figure.median) for each in (added, share, client))  # type: ignore[union-attr]
    assert added.goal == "at most 3 ms" and share.goal == "at least 0.9"
    assert "(2×1)" in share.other or "(1×1)" in share.other  # every way is told


def test_start_and_memory_are_those_of_the_real_process(
    release: ServedRelease, tmp_path: Path
) -> None:
    rows = starting.rows(release, tmp_path, starts=1, others=())
    ready = row(rows, "Process start to the first 200 from /ready")
    memory = row(rows, "Memory of ours after 200 films")
    assert ready.figure.median > 0.1  # type: ignore[union-attr]
    assert isinstance(memory.figure, float) and memory.figure > 20  # NumPy alone takes more


def test_tensorflow_would_bring_what_it_weighs_and_what_it_needs() -> None:
    rows = image_size.rows(unpacked=290, compressed=150)
    other = row(rows, "Image, unpacked: with TensorFlow")
    assert isinstance(other.figure, float) and other.figure > 4 and other.met
    assert row(rows, "Image, compressed").met is False
    assert len(image_size.rows(unpacked=290, compressed=None)) == 2


def test_what_could_not_be_measured_is_a_missed_goal() -> None:
    missing = not_measured("LitServe", "install it")
    assert "**no**" in str(missing) and "install it" in str(missing)
    assert missed_goals([missing])


def test_a_peer_that_adds_nothing_cannot_be_beaten_by_half() -> None:
    share = over_http._share_of_medians
    assert share(np.array([1.0]), np.array([4.0])) == 0.25
    assert share(np.array([-1.0]), np.array([4.0])) == 0.0
    assert share(np.array([1.0]), np.array([0.0])) == float("inf")


def test_the_median_of_a_figure_stands_in_its_interval() -> None:
    found = median_of(np.arange(31, dtype=np.float64))
    assert found.low <= found.median == 15 <= found.high


class Refusing(socketserver.StreamRequestHandler):
    """Answers 503 to whatever comes."""

    def handle(self) -> None:
        self.connection.recv(1 << 20)
        self.wfile.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def refusing() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_refusal_is_no_answer_that_counts(refusing: int) -> None:
    """A service that refuses quickly would else look fast."""
    request = upload("/predict", b"x")
    with pytest.raises(RuntimeError, match="503"):
        one_by_one(refusing, [request])
    with pytest.raises(RuntimeError, match="503"):
        many_at_once(refusing, [request] * 2, clients=2)
