"""Four times more requests than the service can answer: it refuses some, and stays right."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.counts import cases
from tests.serving.conftest import resident_mb, served, wait_for
from tests.serving.slow_model import slow_bundle
from tests.toy_run import phantom

_BODY = (
    b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n%s\r\n--x--\r\n'
    % phantom(200, 600, 480)
)
_REQUEST = (
    b"POST /v1/predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    b"content-type: multipart/form-data; boundary=x\r\ncontent-length: %d\r\n\r\n" % len(_BODY)
) + _BODY
_TIMES = 4  # the sustainable rate
_DOUBLED = 3  # times at most
_CLIENTS = 4  # by which that rate is measured
_MOST_GROWTH_MB = 80


@dataclass
class Answers:
    """What came back: statuses, bodies of the accepted, refusals without Retry-After."""

    statuses: Counter[int] = field(default_factory=Counter)
    bodies: set[bytes] = field(default_factory=set)
    bare_refusals: int = 0


async def ask(port: int, answers: Answers) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_REQUEST)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status = int(head.split()[1])
    answers.statuses[status] += 1
    if status == 200:
        answers.bodies.add(body)
    elif b"\r\nretry-after: " not in head:
        answers.bare_refusals += 1


async def sustained(port: int, seconds: float) -> float:
    """Requests a second that a few clients get answered, one after the other."""
    answers = Answers()
    end = time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < end:
            await ask(port, answers)

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))
    assert set(answers.statuses) == {200}
    return answers.statuses[200] / seconds


async def overloaded(port: int, rate: float, seconds: float, answers: Answers) -> None:
    """Requests at a rate, whether the service keeps up or not."""
    asking = []
    begin = time.monotonic()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
        asking.append(asyncio.create_task(ask(port, answers)))
    await asyncio.wait_for(asyncio.gather(*asking), 120)


async def refused(port: int, rate: float, seconds: float) -> Answers:
    """What comes back until requests are refused.

    The rate is doubled where none was: a machine that was busy as the sustainable one was measured,
    and is not any more, bears four times as much.
    """
    answers = Answers()
    for _ in range(_DOUBLED + 1):
        await overloaded(port, rate, seconds, answers)
        if answers.statuses[503]:
            break
        rate *= 2
    return answers


def test_four_times_the_sustainable_load_is_survived(tmp_path: Path) -> None:
    bundle = slow_bundle(tmp_path, products=1)
    with served(bundle, tmp_path / "log", MAMMO_QUEUE="8") as (client, process):
        wait_for(client, "/ready", 200)
        port = client.base_url.port
        assert port is not None
        rate = asyncio.run(sustained(port, 3))
        before = resident_mb(process)
        answers = asyncio.run(refused(port, _TIMES * rate, cases(8, 30)))
        assert process.poll() is None
        assert set(answers.statuses) == {200, 503}, answers.statuses
        assert answers.bare_refusals == 0
        expected = client.post("/v1/predict", files={"file": ("a", phantom(200, 600, 480))})
        assert answers.bodies == {expected.content}
        assert resident_mb(process) - before < _MOST_GROWTH_MB
        assert _settled(client)
    assert "traceback" not in (tmp_path / "log").read_text()


def _settled(client: httpx.Client) -> bool:
    lines = client.get("/metrics").text.splitlines()
    return {"mammo_queue_waiting 0.0", "mammo_queue_working 0.0"} <= set(lines)
