"""A container that answers otherwise than a service of ours, without an engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from ml_tasks.config_release import SmokeLimits
from ml_tasks.errors import ReleaseError
from ml_tasks.release.container import RunningImage
from ml_tasks.release.trials import Trials, try_drain
from tests.waiting import PATIENCE


def running(http: httpx.Client, status: str = "running") -> RunningImage:
    """A container of this state whose service is asked by `http`."""
    container: Any = SimpleNamespace(
        status=status,
        attrs={"State": {"ExitCode": 137}},
        reload=lambda: None,
        logs=lambda tail: b"its last words",
    )
    return RunningImage(container, http)


def answering(status: int, **content: Any) -> httpx.Client:
    """Of a service that always says the same."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, **content))
    return httpx.Client(base_url="http://toy", transport=transport)


def test_what_is_no_service_of_ours_is_quoted_and_no_fault_of_the_test() -> None:
    other = running(answering(503, text="<h1>starting</h1>"))
    with pytest.raises(ReleaseError, match=r"not ready within 2 s \(<h1>starting</h1>\)"):
        other.wait_until_ready(2)
    broken = running(answering(503, json={"error": "release_broken"}))
    with pytest.raises(ReleaseError, match="cannot load its release"):
        broken.wait_until_ready(PATIENCE)


def test_a_service_that_is_gone_before_it_was_told_to_end_fails_its_trials() -> None:
    """All trials are seen, and not an error of the test in their place."""
    with pytest.raises(ReleaseError, match=r"SIGTERM is none \(.*refused.*exit status is 137"):
        drained("exited", SmokeLimits()).check()


def test_a_service_that_has_not_ended_by_the_limit_is_over_it() -> None:
    """Looked at a moment after the limit, its time is not rounded down to it."""
    with pytest.raises(ReleaseError, match=r"drain is \d+\.\d+ s, .*exit status is none"):
        drained("running", SmokeLimits(drain_seconds=0.1)).check()


def drained(status: str, limits: SmokeLimits) -> Trials:
    """The trials of a container of this state, at which nothing listens."""
    trials = Trials()
    with httpx.Client(base_url="http://127.0.0.1:1", trust_env=False) as http:
        try_drain(running(http, status), b"data", limits, trials)
    return trials
