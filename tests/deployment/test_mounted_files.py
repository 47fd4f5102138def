"""A file of the checkout that compose mounts: a change of it reaches the service."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_tasks.deployment.compose import Compose
from ml_tasks.deployment.images.image_ref import ImageRef
from ml_tasks.deployment.mounted_files import outdated_services

SERVICES = """\
services:
  reads:
    image: mammography-redis:7
    entrypoint: ["sleep", "600"]
    init: true
    volumes: ["./settings:/settings:ro", "./folder:/folder"]
  other:
    image: mammography-redis:7
    entrypoint: ["sleep", "600"]
    init: true
"""


@pytest.fixture
def compose(
    tmp_path: Path, compose_installed: None, base_images: tuple[ImageRef, ...]
) -> Iterator[Compose]:
    (tmp_path / "docker-compose.yaml").write_text(f'version: "3.8"\n{SERVICES}')
    (tmp_path / "settings").write_text("old")
    (tmp_path / "folder").mkdir()
    made = Compose(tmp_path, {"COMPOSE_PROJECT_NAME": f"mammomounted{os.getpid()}"}, ())
    yield made
    made.output("down", "--timeout", "1")


def test_what_was_changed_since_is_found_and_read_after_a_restart(compose: Compose) -> None:
    assert outdated_services(compose) == [], "nothing runs yet"
    time.sleep(1)  # the engine's clock of a start counts in whole seconds here
    compose.output("up", "--detach")
    assert outdated_services(compose) == []
    # As git and editors do: another file takes its place, which the container does not see.
    new = compose.project / "settings.new"
    new.write_text("new")
    os.utime(new, (time.time() + 2, time.time() + 2))
    new.replace(compose.project / "settings")
    (compose.project / "folder" / "file").write_text("what a service writes is no setting")
    compose.output("up", "--detach")
    assert compose.exec("reads", ["cat", "/settings"]) == "old"
    assert outdated_services(compose) == ["reads"]
    time.sleep(2)
    compose.output("restart", "--timeout", "1", "reads")
    assert compose.exec("reads", ["cat", "/settings"]) == "new"
    assert outdated_services(compose) == []
