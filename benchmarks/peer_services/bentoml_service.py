"""BentoML: `bentoml serve benchmarks.peer_services.bentoml_service:Mammography`."""

from __future__ import annotations

import os
from pathlib import Path

import bentoml

from benchmarks.peer_services.answering import Runtime


@bentoml.service(workers=int(os.environ["PEER_WORKERS"]), metrics={"enabled": False})
class Mammography:
    """The answer to one uploaded file."""

    def __init__(self) -> None:
        self.runtime = Runtime.from_environment()

    @bentoml.api(route="/predict")  # type: ignore[untyped-decorator]
    def predict(self, file: Path) -> dict[str, float]:
        """Imaging and model."""
        return self.runtime(file.read_bytes())
