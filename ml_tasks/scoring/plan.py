"""The plan of a batch: which files, by which release, in which chunks; fixed once, for good."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ml_tasks.errors import ScoringError
from ml_tasks.records import Record
from ml_tasks.scoring.place import BatchPlace
from ml_tasks.storage import sha256_file


class BatchPlan(Record):
    """What is scored, by what, and how it is shared out."""

    name: str
    folder: str  # absolute, without links
    planned_at: str  # UTC, ISO
    version: str  # of the release that was in production then
    digest: str
    proof: str  # by what that is known
    positive: str  # class
    negative: str
    threshold: float  # on the calibrated probability
    images: int
    size: int  # bytes
    chunk: int  # images that are committed together
    chunks: int
    shards: int  # shard s takes the chunks s, s + shards, ...
    format: Literal["csv", "parquet", "both"]
    listing_sha256: str
    left_out: dict[str, int]  # by kind
    left_out_names: dict[str, tuple[str, ...]]  # the first of each kind

    def same_work(self, other: BatchPlan) -> bool:
        """Whether both say the same of the same files."""
        return (self.folder, self.digest, self.version, self.listing_sha256) == (
            other.folder,
            other.digest,
            other.version,
            other.listing_sha256,
        )

    def summary(self) -> str:
        """One line for the log."""
        left = sum(self.left_out.values())
        return (
            f"batch {self.name}: {self.images:,} images ({self.size / 1e6:,.0f} MB) of "
            f"{self.folder} in {self.chunks:,} chunks for {self.shards} shard(s), {left:,} left "
            f"out; {self.version} scores them"
        )


def read_plan(place: BatchPlace) -> tuple[BatchPlan, str]:
    """The plan of a batch that has begun, and the hash of its file.

    Raises:
        ScoringError: there is none, or it is damaged.
    """
    try:
        return _parsed(place.plan), sha256_file(place.plan)
    except FileNotFoundError:
        raise ScoringError(
            f"there is no batch {place.name} that is being scored in {place.scoring}; plan it first"
        ) from None


def _parsed(path: Path) -> BatchPlan:
    try:
        return BatchPlan.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ScoringError(
            f"{path} is damaged ({error.error_count()} fields); remove {path.parent} and start the "
            "batch anew"
        ) from error
