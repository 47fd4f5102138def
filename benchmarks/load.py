"""A client that costs next to nothing: requests made beforehand, sent over sockets kept open.

It reads no more of an answer than its status and its length, so that two cores are left to the
service. One thread; `Load.client_share` says what it took of one core.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.timing import Seconds

_BOUNDARY = "benchmark-boundary"
_TIMEOUT = 60.0


@dataclass(frozen=True)
class Load:
    """What many clients at once got."""

    images_per_second: float
    latencies: Seconds
    client_share: float  # of one core, by the client itself


def upload(path: str, film: bytes, name: str = "file") -> bytes:
    """A whole HTTP request that uploads one PNG as a multipart form."""
    body = (
        f"--{_BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="{name}"; filename="film.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode() + film
    body += f"\r\n--{_BOUNDARY}--\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def one_by_one(port: int, requests: Sequence[bytes]) -> Seconds:
    """Seconds of each request, sent after the answer to the one before."""
    seconds = []
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = connection.makefile("rb")
        for request in requests:
            start = time.perf_counter()
            connection.sendall(request)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += stream.readline()
            stream.read(_length(head))
            seconds.append(time.perf_counter() - start)
    return np.asarray(seconds)


def many_at_once(port: int, requests: Sequence[bytes], clients: int) -> Load:
    """All `requests`, by `clients` of which each sends its next one on its answer."""
    waiting = list(requests)
    latencies: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        while waiting:
            request = waiting.pop()
            start = time.perf_counter()
            writer.write(request)
            await reader.readexactly(_length(await reader.readuntil(b"\r\n\r\n")))
            latencies.append(time.perf_counter() - start)
        writer.close()

    async def all_clients() -> None:
        async with asyncio.timeout(_TIMEOUT * 5):
            await asyncio.gather(*(client() for _ in range(clients)))

    start, own = time.perf_counter(), time.process_time()
    asyncio.run(all_clients())
    taken = time.perf_counter() - start
    share = (time.process_time() - own) / taken
    return Load(len(requests) / taken, np.asarray(latencies), share)


def _length(head: bytes) -> int:
    """How long the body of an answer with this head is.

    Raises:
        RuntimeError: the answer is no 200, or does not say its length.
    """
    status, *fields = head.split(b"\r\n")
    if b" 200" not in status:
        raise RuntimeError(f"the service answered {head[:300]!r}")
    for field in fields:
        name, _, value = field.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise RuntimeError(f"the answer has no length: {head[:300]!r}")
