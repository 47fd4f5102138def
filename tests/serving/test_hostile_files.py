"""Damaged films and bombs sent to the running service: never a 500, never a dead process."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.counts import cases
from tests.fuzz.bombs import BOMBS
from tests.fuzz.targets import damaged
from tests.serving.conftest import resident_mb, served, wait_for
from tests.toy_run import make_bundle, phantom

_MOST_MB = 900  # a gigabyte is what a container has
_QUICK = (
    "JPEG 2000 of 20000x20000 pixels",
    "two million fragments",
    "PNG with a comment of 900 MB",
)


def ask(client: httpx.Client, data: bytes) -> tuple[int, str]:
    """The status and the code of what comes of a file; a full queue is asked again."""
    while True:
        answer = client.post("/v1/predict", files={"file": ("x", data)}, timeout=120)
        found = answer.json()
        code = found.get("error", "answered")
        if code != "busy":
            return answer.status_code, code


def test_damaged_files_are_answered_or_refused(tmp_path: Path) -> None:
    with served(make_bundle(tmp_path), tmp_path / "log", MAMMO_MAX_BODY="67108864") as (
        client,
        process,
    ):
        wait_for(client, "/ready", 200)
        right = ask(client, phantom(220))

        def one(case: int) -> tuple[int, str]:
            return ask(client, damaged(case)[1])

        with ThreadPoolExecutor(4) as threads:
            found = Counter(threads.map(one, range(cases(300, 10_000))))
        assert process.poll() is None
        assert {status for status, _ in found} <= {200, 413, 422}, found
        assert found[200, "answered"] and found[422, "unreadable"]
        assert ask(client, phantom(220)) == right
        assert resident_mb(process) < _MOST_MB
    assert "traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("names", [_QUICK, pytest.param(tuple(BOMBS), marks=pytest.mark.full)])
def test_bombs_are_refused_and_the_next_film_is_answered(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    """Several at once: of large films the service decodes one at a time."""
    with served(make_bundle(tmp_path), tmp_path / "log", MAMMO_MAX_BODY="134217728") as (
        client,
        process,
    ):
        wait_for(client, "/ready", 200)
        right = ask(client, phantom(220))
        with ThreadPoolExecutor(2) as threads:
            found = dict(
                zip(
                    names,
                    threads.map(lambda name: ask(client, BOMBS[name][0]()), names),
                    strict=True,
                )
            )
        expected = {
            name: "answered" if (end := BOMBS[name][1]) == "read" else end for name in names
        }
        assert {name: code for name, (_, code) in found.items()} == expected
        assert process.poll() is None
        peak = Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1].split()[0]
        assert int(peak) / 1000 < _MOST_MB
        assert ask(client, phantom(220)) == right
    assert "traceback" not in (tmp_path / "log").read_text()
