"""The registry on this machine: it answers, is used again, and names who holds its port."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from ml_tasks.errors import StackError
from ml_tasks.local_stack import processes
from ml_tasks.local_stack.ports import is_free
from ml_tasks.local_stack.registry import Registry, answers, ensure_registry, stop_registry
from tests.docker.registry_process import debians_registry
from tests.free_ports import free_ports
from tests.waiting import PATIENCE


@pytest.fixture
def state(tmp_path: Path, machine: Path) -> Path:
    """A state directory to which no registry need be downloaded, as one was to the machine's.

    That of the fixture `registry` is: by the product itself, beside no other apt-get.
    """
    debians_registry(machine)
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "program").symlink_to(machine / "registry" / "program")
    return tmp_path


def test_the_registry_answers_and_is_empty_for_a_new_name(registry: Registry) -> None:
    assert answers(registry.address)
    url = f"http://{registry.address}/v2/nothing/tags/list"
    missing = httpx.get(url, timeout=PATIENCE, trust_env=False)
    assert missing.status_code == 404


def test_a_running_registry_is_used_again(registry: Registry, stack_state: Path) -> None:
    before = processes.running(stack_state, "registry")
    again = ensure_registry(stack_state, int(registry.address.rpartition(":")[2]))
    assert again == registry
    assert processes.running(stack_state, "registry") == before


def test_a_taken_port_names_its_holder(registry: Registry, tmp_path: Path) -> None:
    port = int(registry.address.rpartition(":")[2])
    with pytest.raises(StackError, match=rf"port {port} is taken by pid \d+ \(.*REGISTRY_PORT"):
        ensure_registry(tmp_path, port)


def test_stopping_keeps_the_images_and_frees_the_port(state: Path) -> None:
    port = free_ports(1)[0]
    ensure_registry(state, port)
    blob = f"http://localhost:{port}/v2/kept/blobs/uploads/"
    place = httpx.post(blob, timeout=PATIENCE, trust_env=False).headers["location"]
    digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    url = f"{place}&digest={digest}"
    put = httpx.put(url, content=b"hello", timeout=PATIENCE, trust_env=False)
    assert put.status_code == 201
    assert stop_registry(state)
    assert is_free(port)
    ensure_registry(state, port)
    url = f"http://localhost:{port}/v2/kept/blobs/{digest}"
    kept = httpx.get(url, timeout=PATIENCE, trust_env=False)
    assert kept.content == b"hello"
    stop_registry(state)


def test_another_port_is_not_taken_for_the_one_that_runs(state: Path) -> None:
    """Mistaken for one another, images would go to a registry that nobody asked for."""
    first, second = free_ports(2)
    try:
        ensure_registry(state, first)
        assert ensure_registry(state, second).address == f"localhost:{second}"
        assert not answers(f"localhost:{first}")
    finally:
        stop_registry(state)
