"""Time, size and places in the queue are limited; each limit answers and leaves nothing behind."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.serving.conftest import LIMIT, resident_mb, served, wait_for
from tests.serving.slow_model import slow_bundle
from tests.toy_run import make_bundle, phantom
from tests.waiting import PATIENCE, until

HEAD_LIMIT = 65536  # bytes that the server takes of a head
HEAD = (
    b"POST /v1/predict HTTP/1.1\r\nhost: x\r\n"
    b"content-type: multipart/form-data; boundary=x\r\ncontent-length: %d\r\n\r\n"
)
FILE = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n%s\r\n--x--\r\n'
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


@contextmanager
def raw(client: httpx.Client, data: bytes) -> Iterator[socket.socket]:
    """A connection over which these bytes were sent."""
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        connection.sendall(data)
        yield connection


def received(connection: socket.socket) -> bytes:
    """Everything until the service closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def one_answer(connection: socket.socket) -> bytes:
    """The next answer, head and body."""
    told = b""
    while b"\r\n\r\n" not in told:
        told += connection.recv(65536)
    head, _, body = told.partition(b"\r\n\r\n")
    (length,) = (
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + body


def ask(client: httpx.Client, data: bytes = phantom(220)) -> httpx.Response:
    return client.post("/v1/predict", files={"file": ("x", data)})


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that waits two seconds for a request."""
    root = tmp_path_factory.mktemp("hasty")
    with served(make_bundle(root), root / "log", MAMMO_RECEIVE_SECONDS="2") as (client, _):
        wait_for(client, "/ready", 200)
        yield client
    assert "traceback" not in (root / "log").read_text()


@pytest.fixture(scope="module")
def service(service: httpx.Client, log: Path) -> Iterator[httpx.Client]:
    """The ordinary one, in which nothing goes wrong unforeseen."""
    yield service
    assert "traceback" not in log.read_text()


def test_a_slow_upload_is_ended(hasty: httpx.Client) -> None:
    with raw(hasty, HEAD % 1000 + b"--x\r\n") as connection:
        told = one_answer(connection)
    assert told.startswith(b"HTTP/1.1 408 ") and b'"slow_upload"' in told


def test_bytes_that_trickle_in_do_not_stretch_the_time(hasty: httpx.Client) -> None:
    with raw(hasty, HEAD % 100_000 + PART) as connection:
        connection.settimeout(0.1)
        deadline = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline
            connection.sendall(b"x")
            try:
                told = connection.recv(65536)
                break
            except TimeoutError:
                continue
    assert told.startswith(b"HTTP/1.1 408 ")


def test_more_bytes_than_stated_are_no_part_of_the_request(service: httpx.Client) -> None:
    body = FILE % phantom(220)
    with raw(service, HEAD % len(body) + body) as connection:
        assert one_answer(connection).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"\0 rest that is no HTTP\r\n\r\n")
        told = received(connection)
    assert told.startswith(b"HTTP/1.1 400 ") and b'{"error":"bad_request"' in told


def test_fewer_bytes_than_the_form_needs_are_a_bad_request(service: httpx.Client) -> None:
    body = FILE % phantom(220)
    cut = body[: len(body) // 2]
    with raw(service, HEAD % len(cut) + cut) as connection:
        assert one_answer(connection).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", b"400"),
        (b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
         b"400"),
        (b"GET /ready HTTP/1.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n", b"400"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"\x16\x03\x01 no HTTP at all\r\n\r\n", b"400"),
    ],
)  # fmt: skip
def test_heads_that_are_wrong_or_endless_are_refused(
    service: httpx.Client, head: bytes, status: bytes
) -> None:
    try:
        with raw(service, head) as connection:
            told = received(connection)
        assert told.startswith(b"HTTP/1.1 " + status) and b'{"error":"bad_request"' in told
    except ConnectionError:  # an endless one may be cut off while the client still sends
        assert len(head) > HEAD_LIMIT
    assert service.get("/health").status_code == 200


def test_a_refused_body_is_read_on_so_that_the_refusal_arrives(service: httpx.Client) -> None:
    """A connection closed at once would reset it while the client still sends."""
    with raw(service, HEAD % (LIMIT * 2)) as connection:
        for _ in range(LIMIT // 65536 * 2):
            connection.sendall(bytes(65536))
        assert one_answer(connection).startswith(b"HTTP/1.1 413 ")
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert one_answer(connection).startswith(b"HTTP/1.1 200 ")


def test_a_form_of_too_many_fields_is_refused(service: httpx.Client) -> None:
    answer = service.post("/v1/predict", files={str(n): (None, b"") for n in range(100)})
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")


def test_all_uploads_together_have_a_limit(tmp_path: Path) -> None:
    limits = {"MAMMO_MAX_BODIES": "1000000", "MAMMO_MAX_BODY": "1000000"}
    settings = {**limits, "MAMMO_RECEIVE_SECONDS": "20"}
    with served(make_bundle(tmp_path), tmp_path / "log", **settings) as (client, _):
        wait_for(client, "/ready", 200)
        deadline = time.monotonic() + PATIENCE
        while True:
            with raw(client, HEAD % 990_000 + PART + bytes(900_000)):
                time.sleep(0.2)  # if it has not arrived by then, it may be the one refused
                answer = client.post("/v1/predict", files={"file": ("x", bytes(200_000))})
            if answer.status_code == 503:
                break
            assert time.monotonic() < deadline
        assert answer.json()["error"] == "busy" and int(answer.headers["retry-after"]) >= 1
        held = "what the client that hung up held is not free again"
        until(lambda: ask(client).status_code == 200, held)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One request at work, which takes seconds, and two that may wait."""
    root = tmp_path_factory.mktemp("narrow")
    settings = {"MAMMO_AT_ONCE": "1", "MAMMO_QUEUE": "2", "MAMMO_ANSWER_SECONDS": "600"}
    with served(slow_bundle(root, products=60), root / "log", **settings) as (client, _):
        wait_for(client, "/ready", 200)
        yield client
    assert "traceback" not in (root / "log").read_text()


def queued(client: httpx.Client, waiting: int, working: int) -> None:
    """Returns once so many requests wait and are at work."""
    expected = {f"mammo_queue_waiting {waiting}.0", f"mammo_queue_working {working}.0"}
    if not waiting and not working:
        expected.add("mammo_requests_in_flight 1.0")  # the one that asks

    def reached() -> bool:
        return expected <= set(client.get("/metrics").text.splitlines())

    until(reached, f"never {waiting} waiting and {working} at work")


def test_past_the_queue_requests_are_refused_at_once(narrow: httpx.Client) -> None:
    with ThreadPoolExecutor(3) as threads:
        taken = [threads.submit(ask, narrow) for _ in range(3)]
        queued(narrow, waiting=2, working=1)
        refused = ask(narrow)
        assert (refused.status_code, refused.json()["error"]) == (503, "busy")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert narrow.get("/health").status_code == 200
        answers = [each.result() for each in taken]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.text for answer in answers}) == 1


def test_clients_that_hang_up_leave_the_queue(narrow: httpx.Client) -> None:
    body = FILE % phantom(220)
    for _ in range(3):
        with raw(narrow, HEAD % len(body) + body), raw(narrow, HEAD % len(body) + body):
            queued(narrow, waiting=1, working=1)
        queued(narrow, waiting=0, working=0)
    assert ask(narrow).status_code == 200


def test_an_answer_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    settings = {"MAMMO_AT_ONCE": "1", "MAMMO_ANSWER_SECONDS": "1"}
    with served(slow_bundle(tmp_path, products=200), tmp_path / "log", **settings) as (client, _):
        wait_for(client, "/ready", 200)
        answer = ask(client)
        assert (answer.status_code, answer.json()["error"]) == (503, "timed_out")
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/health").status_code == 200


def test_many_clients_that_abort_at_once_leave_nothing_behind(service: httpx.Client) -> None:
    body = FILE % phantom(220)
    cuts = [len(body) * share // 20 for share in range(1, 21)]

    def abort(cut: int) -> None:
        with raw(service, HEAD % len(body) + body[:cut]):
            pass

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(abort, cuts * 5))
    queued(service, waiting=0, working=0)
    assert ask(service).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (FILE % (b"x" * 20_000_000), 422),
        (FILE % (phantom(220) + bytes(20_000_000)), 200),
        (PART + b"x" * 20_000_000, 400),
    ],
    ids=["no image", "a film", "no end"],
)
def test_what_a_request_held_is_free_once_it_is_answered(
    body: bytes, status: int, tmp_path: Path
) -> None:
    """What only the garbage collector frees adds up to hundreds of megabytes before it runs."""
    head = {"content-type": "multipart/form-data; boundary=x"}
    settings = {"MAMMO_MAX_BODY": "30000000"}
    with served(make_bundle(tmp_path), tmp_path / "log", **settings) as (client, process):
        wait_for(client, "/ready", 200)
        held = []
        for _ in range(6):
            answer = client.post("/v1/predict", content=body, headers=head)
            assert answer.status_code == status
            held.append(resident_mb(process))
    assert held[-1] - held[0] < 40, held


def test_requests_far_ahead_of_their_answers_end_the_connection(service: httpx.Client) -> None:
    """Each one that waits takes memory, and a few megabytes hold a hundred thousand of them."""
    asked = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    last = asked.replace(b"host", b"connection: close\r\nhost")
    with raw(service, asked * 9 + last) as connection:
        assert received(connection).count(b"HTTP/1.1 200 ") == 10
    with raw(service, asked * 1000) as connection:
        assert received(connection).count(b"HTTP/1.1 200 ") < 100
    assert service.get("/health").status_code == 200


HURRIED = """
import ml_tasks.serving.connection as connection
connection._UNREAD_SECONDS, connection._MOST_AHEAD = 1.0, 1_000_000
from ml_tasks.serving.__main__ import main
main()
"""


def test_a_client_that_never_reads_is_cut_off(tmp_path: Path) -> None:
    """What it does not take would be held for it, connection by connection, for ever."""
    with served(make_bundle(tmp_path), tmp_path / "log", ("-c", HURRIED)) as (client, _):
        with raw(client, b"") as connection:
            connection.settimeout(0.1)
            deadline = time.monotonic() + PATIENCE
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                while True:
                    assert time.monotonic() < deadline
                    connection.sendall(b"GET /static/page.css HTTP/1.1\r\nhost: x\r\n\r\n" * 8)
                    time.sleep(0.05)
        queued(client, waiting=0, working=0)
