"""Which profiles `make up` takes: one that trains is always among them."""

from __future__ import annotations

import pytest

from ml_tasks.deployment import stack


@pytest.mark.parametrize("runtimes", ['{"runc": {}, "nvidia": {}}', '{"runc": {}}'])
@pytest.mark.parametrize(
    ("named", "others"), [("", ()), ("metrics", ("metrics",)), (" metrics, ", ("metrics",))]
)
def test_the_engine_decides_where_nobody_does(
    runtimes: str, named: str, others: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "docker", lambda *_: runtimes)
    trains = "gpu" if "nvidia" in runtimes else "cpu"
    assert stack.profiles({"MAMMO_PROFILES": named}) == (*others, trains)


@pytest.mark.parametrize("named", ["cpu", "gpu,metrics", "metrics cpu"])
def test_what_is_named_counts(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "docker", lambda *_: pytest.fail("asked the engine"))
    assert set(stack.profiles({"MAMMO_PROFILES": named})) == set(named.replace(",", " ").split())
