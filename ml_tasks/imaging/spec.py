"""How images are prepared: saved with the data, sealed into the release, loaded by the service."""

from __future__ import annotations

import hashlib

from pydantic import Field

from ml_tasks.records import Record


class ImageSpec(Record):
    """Every number that cleaning uses; lengths are pixels of the working image unless said."""

    version: int = 2
    side: int = Field(128, ge=16, le=1024)  # of the finished image
    max_megapixels: float = Field(50, gt=0)  # of the file as its header states it
    min_side: int = Field(16, ge=1)  # of the file
    # A file is reduced by the largest whole factor (1, 2, 4 or 8: what JPEG decoders do for free)
    # that leaves its longest side at least this long; all cleaning works on the reduced image.
    decode_side: int = Field(512, ge=128)
    working_side: int = Field(256, ge=64)  # longest side of the image the mask is found on
    frame_level: int = Field(235, ge=1, le=255)  # grey level from which a pixel may be scan frame
    frame_share: float = Field(0.6, gt=0, le=1)  # share of such pixels that makes a line a frame
    frame_depth: float = Field(0.06, ge=0, lt=0.5)  # how far in, as a share of the side
    min_contrast: float = Field(2.0, ge=0)  # standard deviation of the grey levels; below it: blank
    threshold_share: float = Field(0.42, gt=0, lt=1)  # of Otsu's threshold
    threshold_floor: int = Field(12, ge=0, le=255)  # grey level
    opening: int = Field(15, ge=1)  # diameter; what is thinner is no breast
    regrowth: int = Field(5, ge=1)  # diameter; gives the skin line back
    min_breast_share: float = Field(0.02, gt=0, lt=1)  # of the image's area

    def sha256(self) -> str:
        """Hex SHA-256 of the spec's canonical JSON."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
