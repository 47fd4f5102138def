"""How images are prepared: saved with the data, sealed into the release, loaded by the service."""

from __future__ import annotations

import hashlib

from pydantic import Field

from ml_tasks.records import Record


class ImageSpec(Record):
    """Every number that cleaning uses; lengths are pixels of the working image unless said."""

    version: int = 4
    side: int = Field(128, ge=16, le=1024)  # of the finished image
    max_megapixels: float = Field(50, gt=0)  # of the file as its header states it
    min_side: int = Field(16, ge=1)  # of the file
    # A file is reduced by the largest whole factor (1, 2, 4 or 8: what JPEG decoders do for free)
    # that leaves its longest side at least this long; all cleaning works on the reduced image.
    decode_side: int = Field(512, ge=128)
    working_side: int = Field(256, ge=64)  # longest side of the image the mask is found on
    black_level: int = Field(4, ge=0, le=255)  # grey level up to which a pixel may be padding
    border_share: float = Field(0.97, gt=0, le=1)  # share of such pixels that makes a line padding
    polarity_side: int = Field(128, ge=32)  # longest side of the image the polarity is told on
    polarity_end: int = Field(40, ge=0, le=127)  # grey levels from black, or white, of a background
    polarity_form: float = Field(1.5, ge=0)  # weight of the form against the grey levels
    frame_level: int = Field(235, ge=1, le=255)  # grey level from which a pixel may be scan frame
    frame_share: float = Field(0.6, gt=0, le=1)  # share of such pixels that makes a line a frame
    frame_depth: float = Field(0.12, ge=0, lt=0.5)  # how far in, as a share of the side
    # A frame ends in one step, and so is told from a saturated muscle at the edge, which fades.
    frame_step: int = Field(60, ge=0, le=255)  # grey levels from one pixel to the next but one
    frame_length: float = Field(0.1, gt=0, le=1)  # shortest such part, as a share of the side
    min_contrast: float = Field(2.0, ge=0)  # standard deviation of the grey levels; below it: blank
    # Two thresholds over the background's level. The bright one parts the breast from labels; the
    # faint one follows the skin line, where tissue is hardly brighter than bare film.
    tissue_share: float = Field(0.42, gt=0, lt=1)  # of the way from the background to Otsu's level
    tissue_rise: int = Field(12, ge=0, le=255)  # grey levels; the bright threshold's least
    skin_noise: float = Field(5.0, ge=0)  # standard deviations of the background's noise
    skin_rise: int = Field(4, ge=0, le=255)  # grey levels; the faint threshold's least
    opening: int = Field(15, ge=1)  # diameter, 6 % of the film; what is thinner is no breast
    regrowth: int = Field(7, ge=1)  # diameter; gives back the rim that the opening takes
    speck: int = Field(3, ge=1)  # diameter; what is thinner is noise, not a label or a letter
    reach: int = Field(24, ge=0)  # how far the skin line may lie outside the bright threshold's
    # Bare film kept around the breast: 7 are 6 mm of a film 205 mm high, 12 are 10 mm.
    margin: int = Field(7, ge=0)  # around the breast's convex hull
    hollow: int = Field(12, ge=0)  # at most so far from the breast, where the hull spans a hollow
    wall_depth: int = Field(3, ge=1)  # how near to a side the breast stands along it
    wall_share: float = Field(0.25, gt=0, le=1)  # share of a side that it stands along
    min_breast_share: float = Field(0.02, gt=0, lt=1)  # of the file's area

    def sha256(self) -> str:
        """Hex SHA-256 of the spec's canonical JSON."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
