"""The serving base, built where secrets stand in the environment: none is in any of its layers."""

from __future__ import annotations

import json
from functools import partialmethod
from pathlib import Path
from uuid import uuid4

import pytest
from docker.models.images import ImageCollection

from ml_tasks.local_stack.engine import Engine
from ml_tasks.release.serving_base import REPOSITORY, ensure_serving_base
from tests.conftest import WHEELS
from tests.planted_secrets import plant_secrets
from tests.traces import members, traces

pytestmark = pytest.mark.docker


@pytest.mark.full
def test_no_secret_reaches_a_layer_of_the_base(
    engine_place: Engine, serving_base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is built anew: what the engine kept of earlier builds would hide a leak."""
    secrets = plant_secrets(tmp_path, monkeypatch)
    client = engine_place.client()
    monkeypatch.setattr(
        ImageCollection, "build", partialmethod(ImageCollection.build, nocache=True)
    )
    name = f"{REPOSITORY}-{uuid4().hex[:8]}"
    monkeypatch.setattr("ml_tasks.release.serving_base.REPOSITORY", name)
    built = ensure_serving_base(client, WHEELS)
    try:
        image = client.images.get(built)
        told = json.dumps([image.attrs, image.history()]).encode()
        assert traces(secrets, [("what the engine tells", told)]) == []
        with (tmp_path / "image.tar").open("w+b") as stream:
            stream.writelines(image.save())
            stream.seek(0)
            assert traces(secrets, members("image", stream)) == []
    finally:
        client.images.remove(built)
        client.close()
