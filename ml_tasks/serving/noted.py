"""What a request leaves behind for its line in the log: nothing of who sent it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

from ml_tasks.errors import ImageRejected
from ml_tasks.inference.predictor import Judged

_KEY = "mammo.noted"


@dataclass
class Noted:
    """Filled in while a request is answered."""

    bytes: int = 0  # of its body
    version: str | None = None
    error: str | None = None  # code of the refusal, where there is one
    images: list[Judged | ImageRejected] = field(default_factory=list)

    @classmethod
    def of(cls, scope: Scope) -> Noted:
        """What is noted of the request that a scope belongs to."""
        noted = scope.setdefault(_KEY, cls())
        assert isinstance(noted, cls)
        return noted

    def answers(self) -> list[dict[str, Any]]:
        """For each image the class, the rounded probability and the warnings, or the refusal."""
        return [
            {"error": image.code}
            if isinstance(image, ImageRejected)
            else {
                "prediction": image.prediction.prediction,
                "probability": round(image.prediction.probability, 2),
                "quality": [str(warning.code) for warning in image.answer.quality],
            }
            for image in self.images
        ]
