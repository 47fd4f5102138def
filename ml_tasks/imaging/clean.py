"""From one file's bytes to the 128x128 pixels that the network sees."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ml_tasks.imaging.breast import breast_region
from ml_tasks.imaging.decode import DecodedImage, decode
from ml_tasks.imaging.frame import without_frame
from ml_tasks.imaging.geometry import Geometry
from ml_tasks.imaging.pixels import Pixels
from ml_tasks.imaging.polarity import whiteness
from ml_tasks.imaging.spec import ImageSpec


@dataclass(frozen=True)
class CleanedImage:
    """The finished picture, what was kept of the film, and how the one came from the other."""

    pixels: Pixels  # (side, side), exactly 0 where `mask` is 0
    mask: Pixels  # (side, side), 1 inside the breast
    kept: Pixels  # (H,W) like the decoded image, 1 inside the breast
    geometry: Geometry
    inverted: bool  # the background was white
    whiteness: float  # how surely: above 0 it was, and near 0 it may be otherwise
    framed: bool  # a scan frame was taken off
    side: str  # where the chest wall stood in the file: left or right
    kept_share: float  # of the film's area
    parts: int  # bodies that stood apart from the breast: labels, markers, tape


def preprocess(data: bytes, spec: ImageSpec) -> Pixels:
    """The cleaned picture of one file: (side, side) uint8 grey, exactly 0 outside the breast.

    Raises:
        ImageRejected: the file is no usable image, or shows no breast.
    """
    return clean(decode(data, spec), spec).pixels


def clean(image: DecodedImage, spec: ImageSpec, white: float | None = None) -> CleanedImage:
    """A decoded image to (side, side): polarity, frame, mask, crop, side, square, resize.

    `white` overrules the polarity that is found: above 0 for a white background.

    Raises:
        ImageRejected: `no_breast`.
    """
    if white is None:
        white = whiteness(image.pixels, spec)
    upright = 255 - image.pixels if white > 0 else image.pixels
    bare = without_frame(upright, spec)
    region = breast_region(bare, spec)
    kept = region.mask
    left, top, width, height = (int(value) for value in cv2.boundingRect(kept))
    window = (slice(top, top + height), slice(left, left + width))
    mirrored = chest_wall(kept[window]) == "right"
    mask = (finished(kept[window] * 255, mirrored, spec.side) > 127).astype(np.uint8)
    pixels = finished(bare[window] * kept[window], mirrored, spec.side) * mask
    return CleanedImage(
        pixels=pixels,
        mask=mask,
        kept=kept,
        geometry=Geometry(
            factor=image.factor,
            left=left,
            top=top,
            width=width,
            height=height,
            mirrored=mirrored,
            side=spec.side,
        ),
        inverted=white > 0,
        whiteness=white,
        framed=not np.array_equal(upright, bare),
        side="right" if mirrored else "left",
        kept_share=np.count_nonzero(kept) / kept.size,
        parts=region.parts,
    )


def chest_wall(mask: Pixels) -> str:
    """The side, left or right, at which the breast in a mask (H,W) stands: the fuller edge."""
    edge = max(1, mask.shape[1] // 20)
    at_left, at_right = np.count_nonzero(mask[:, :edge]), np.count_nonzero(mask[:, -edge:])
    return "right" if at_right > at_left else "left"


def padded_to_square(pixels: Pixels) -> Pixels:
    """Pixels (H,W) with black added at the right, or above and below alike; never stretched."""
    height, width = pixels.shape
    side = max(height, width)
    above = (side - height) // 2
    return np.pad(pixels, ((above, side - height - above), (0, side - width)))


def finished(pixels: Pixels, mirrored: bool, side: int) -> Pixels:
    """A crop (H,W) as the network sees it (side, side): chest wall left, padded, resized.

    Reducing takes the mean over the area that each pixel covers; enlarging interpolates linearly,
    since OpenCV's area method would shift the picture there by half a pixel.
    """
    square = padded_to_square(np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels))
    method = cv2.INTER_AREA if square.shape[0] >= side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (side, side), interpolation=method), np.uint8)
