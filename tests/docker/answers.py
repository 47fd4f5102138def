"""`python answers.py FOLDER`: what the service's code makes of every file there, as JSON.

Run inside the image and outside of it, the two must say the same. What is said: the decoded and the
cleaned pixels by hash, all figures in full, refusals in words; and which functions of OpenCV and
imagecodecs were called, so that none can be missing unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import imagecodecs

_called: set[str] = set()


def _watched(module: ModuleType, name: str) -> Callable[..., Any]:
    function = getattr(module, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        _called.add(f"{module.__name__}.{name}")
        return function(*args, **kwargs)

    return call


def watch(names: list[str]) -> None:
    """Notes each call of `module.function` from now on; before the service's code is loaded."""
    for name in names:
        module, _, function = name.partition(".")
        library = {"cv2": cv2, "imagecodecs": imagecodecs}[module]
        setattr(library, function, _watched(library, function))


def answer(data: bytes) -> dict[str, Any]:
    """Everything that is made of one file's bytes."""
    import numpy as np

    from ml_tasks.errors import ImageRejected
    from ml_tasks.imaging.clean import clean
    from ml_tasks.imaging.decode import decode
    from ml_tasks.imaging.encode import decoded_png, png_bytes
    from ml_tasks.imaging.measure import measure
    from ml_tasks.imaging.spec import ImageSpec
    from ml_tasks.imaging.statistics import picture_statistics
    from ml_tasks.inference.overlay import overlay_png

    spec = ImageSpec()
    try:
        image = decode(data, spec)
        told = [image.factor, image.width, image.height, image.format, image.mode, image.bit_depth]
        found: dict[str, Any] = {"decoded": _hash(image.pixels), "told": told}
        found["whole"] = measure(image, None, spec).model_dump()
        cleaned = clean(image, spec)
    except ImageRejected as error:
        return {"refused": [error.code, str(error)]}
    places = np.linspace(-2, 2, 16, dtype=np.float32).reshape(4, 4)
    png = png_bytes(cleaned.pixels)
    assert np.array_equal(decoded_png(png), cleaned.pixels)
    return found | {
        "cleaned": [_hash(cleaned.pixels), _hash(cleaned.mask), _hash(cleaned.kept)],
        "geometry": str(cleaned.geometry),
        "figures": measure(image, cleaned, spec).model_dump(),
        "statistics": picture_statistics(cleaned.pixels).vector().tolist(),
        "png": hashlib.sha256(png).hexdigest(),
        "overlay": hashlib.sha256(overlay_png(places, cleaned.pixels)).hexdigest(),
        "sheet": _sheet(cleaned.pixels, cleaned.mask),
    }


def _sheet(pixels: Any, mask: Any) -> str:
    from ml_tasks.imaging.contact_sheet import Tile, contact_sheet

    return _hash(contact_sheet([Tile(pixels, mask, pixels, "film 1")]))


def _hash(values: Any) -> str:
    return f"{values.dtype} {values.shape} {hashlib.sha256(values.tobytes()).hexdigest()}"


def answers(folder: Path) -> dict[str, Any]:
    """The answers for the files of a folder, and the functions that were called for them."""
    watch(json.loads((folder / "watched.json").read_text()))
    files = sorted(path for path in folder.iterdir() if path.suffix not in (".json", ".py"))
    found = {path.name: answer(path.read_bytes()) for path in files}
    return {"answers": found, "called": sorted(_called)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answers(Path(sys.argv[1]))) + "\n")
