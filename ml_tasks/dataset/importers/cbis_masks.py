"""The region of interest of a CBIS-DDSM abnormality: which file is its mask, and its circle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image

from ml_tasks.dataset.lesions import Circle
from ml_tasks.errors import ImageRejected

# Masks of the mass test set are smaller than their films by one factor in both directions, to a
# pixel of rounding; a few others belong to another film, and their shape tells.
_SAME_SHAPE = 0.001


def circle_of(candidates: Sequence[Path], film: Path) -> Circle:
    """The circle around the abnormality, in pixels of `film`.

    `candidates` are the files of the abnormality's folder: its mask and a crop of the film, in an
    order that the data set's tables give wrongly for many. The mask is the one of the film's size
    (else of its shape, and then its circle is scaled) that has two grey levels. The centre is the
    mask's centroid; the radius reaches its furthest pixel, as mini-MIAS's "circle enclosing the
    abnormality" does.

    Raises:
        ImageRejected: no candidate is the mask of this film, or a file cannot be read.
    """
    width, height = image_size(film)
    sizes = {path: image_size(path) for path in candidates}
    alike = [path for path, size in sizes.items() if _same_shape(size, (width, height))]
    for path in sorted(alike, key=lambda path: sizes[path] != (width, height)):
        inside = _mask(path)
        if inside is not None:
            return _enclosing(inside, width / sizes[path][0], height / sizes[path][1])
    shown = ", ".join(f"{wide}x{high}" for wide, high in sizes.values()) or "nothing"
    raise ImageRejected(
        "no_mask", f"no mask of the film's shape ({width}x{height}); its folder holds {shown}"
    )


def image_size(path: Path) -> tuple[int, int]:
    """Width and height by the header alone.

    Raises:
        ImageRejected: the file is no readable DICOM or PNG file.
    """
    with _readable(path):
        if path.suffix.lower() != ".dcm":
            with Image.open(path, formats=("PNG",)) as image:
                return image.size
        header = pydicom.dcmread(
            path, stop_before_pixels=True, specific_tags=["Rows", "Columns"], force=False
        )
        return int(header.Columns), int(header.Rows)


def _same_shape(size: tuple[int, int], film: tuple[int, int]) -> bool:
    (width, height), (film_width, film_height) = size, film
    return abs(width * film_height / (height * film_width) - 1) <= _SAME_SHAPE


def _mask(path: Path) -> NDArray[np.bool_] | None:
    """Where a picture of two grey levels has the brighter one; None: it is no mask."""
    pixels = _pixels(path)
    low, high = pixels.min(), pixels.max()
    bright: NDArray[np.bool_] = pixels == high
    if pixels.ndim != 2 or low == high or not np.all(bright | (pixels == low)):
        return None
    return bright


def _pixels(path: Path) -> NDArray[Any]:
    with _readable(path):
        if path.suffix.lower() == ".dcm":
            return pydicom.dcmread(path).pixel_array
        with Image.open(path, formats=("PNG",)) as image:
            return np.asarray(image)


def _enclosing(inside: NDArray[np.bool_], across: float, down: float) -> Circle:
    """The circle of a mask whose pixels are `across` x `down` pixels of the film."""
    rows, columns = np.nonzero(inside)
    x, y = (columns + 0.5) * across - 0.5, (rows + 0.5) * down - 0.5
    centre_x, centre_y = float(x.mean()), float(y.mean())
    reach = float(np.hypot(x - centre_x, y - centre_y).max())
    return Circle(x=round(centre_x, 2), y=round(centre_y, 2), radius=round(reach + across / 2, 2))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # third-party decoders raise nearly anything on broken files
        raise ImageRejected("unreadable", f"{path.name} cannot be read as a picture") from error
