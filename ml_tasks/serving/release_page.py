"""What GET /v1/model tells of the release: its card, figures, origin and the gate's decision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from ml_tasks.inference.predictor import Predictor
from ml_tasks.records import Record
from ml_tasks.release.bundle import read_json

NOTICE = "Research use; not a diagnosis."


class ModelPage(Record):
    """The release, as its own files describe it."""

    model_version: str
    classes: tuple[str, ...] = Field(
        min_length=2, max_length=2, description="the negative class, then the positive one"
    )
    positive_class: str
    threshold: float = Field(ge=0, le=1)
    threshold_rule: str
    notice: str
    model_card: str = Field(description="Markdown")
    metrics: dict[str, Any]
    lineage: dict[str, Any]
    decision: dict[str, Any]
    class_meaning: dict[str, str]


@dataclass(frozen=True)
class ReleasePage:
    """The page as the bytes that are sent: it never changes while the service runs."""

    content: bytes

    @classmethod
    def of(cls, bundle: Path, predictor: Predictor) -> ReleasePage:
        """The page of a loaded bundle.

        Raises:
            ReleaseError: one of its JSON files is none.
        """
        meaning = read_json(bundle, "classes.json").get("meaning")
        known = meaning if isinstance(meaning, dict) else {}
        page = ModelPage(
            model_version=predictor.version,
            classes=(predictor.negative, predictor.positive),
            positive_class=predictor.positive,
            threshold=predictor.threshold,
            threshold_rule=predictor.rule,
            notice=NOTICE,
            model_card=(bundle / "model_card.md").read_text(encoding="utf-8", errors="replace"),
            metrics=read_json(bundle, "metrics.json"),
            lineage=read_json(bundle, "lineage.json"),
            decision=read_json(bundle, "decision.json"),
            class_meaning={str(name): str(text) for name, text in known.items()},
        )
        return cls(page.model_dump_json().encode())
