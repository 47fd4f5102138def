"""The image beside the one that TensorFlow would make of it: by what the packages take unpacked.

An image with TensorFlow is not built: it would hold ours, without ONNX Runtime and what only that
needs, and with TensorFlow, Keras and all that these need. Every package counts by its installed
files, tests left out as in our image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.table import PROJECT, Row

UNPACKED_GOAL, COMPRESSED_GOAL, RATIO_GOAL = 400.0, 140.0, 4.0
_MEGABYTE = 1e6  # as Docker counts
_RUNTIME, _INSTEAD = "onnxruntime", ("tensorflow", "keras")


def rows(unpacked: float, compressed: float | None) -> list[Row]:
    """The release image's size in MB, as the engine and as the registry tell it."""
    with_tensorflow = unpacked - _left_out() + _added()
    found = [
        Row(
            "Image, unpacked, in MB",
            f"{unpacked:.0f} MB",
            "",
            unpacked,
            f"at most {UNPACKED_GOAL:g} MB",
            unpacked <= UNPACKED_GOAL,
        ),
        Row(
            "Image, unpacked: with TensorFlow in ONNX Runtime's place / ours",
            f"{unpacked:.0f} MB",
            f"{with_tensorflow:.0f} MB",
            with_tensorflow / unpacked,
            f"at least {RATIO_GOAL:g}",
            with_tensorflow / unpacked >= RATIO_GOAL,
        ),
    ]
    if compressed is not None:
        found.append(
            Row(
                "Image, compressed as it lies in the registry, in MB",
                f"{compressed:.0f} MB",
                "",
                compressed,
                f"at most {COMPRESSED_GOAL:g} MB",
                compressed <= COMPRESSED_GOAL,
            )
        )
    return found


def _added() -> float:
    """MB of what TensorFlow and Keras bring along that the service does not have yet."""
    return _megabytes(_needs(*_INSTEAD) - _locked())


def _left_out() -> float:
    """MB of ONNX Runtime and what nothing else of the service needs."""
    others = {name for name in _locked() if name not in _needs(_RUNTIME)}
    needed_by_others = {need for name in others for need in _needs(name)}
    return _megabytes((_needs(_RUNTIME) & _locked()) - needed_by_others - _needs(*_INSTEAD))


def _locked() -> set[str]:
    lock = (PROJECT / "requirements" / "serving.txt").read_text()
    return {_plain(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)}


def _needs(*names: str) -> set[str]:
    """These packages and all that they need here, as installed; extras are not needed."""
    found: set[str] = set()
    waiting = [_plain(name) for name in names]
    while waiting:
        name = waiting.pop()
        package = _installed(name)
        if name in found or package is None:
            continue
        found.add(name)
        for text in package.requires or []:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                waiting.append(_plain(need.name))
    return found


def _megabytes(names: set[str]) -> float:
    packages = [package for name in sorted(names) if (package := _installed(name))]
    return sum(size for package in packages for size in _sizes(package)) / _MEGABYTE


def _sizes(package: Distribution) -> Iterator[int]:
    for file in package.files or []:
        if "tests" not in file.parts and file.suffix != ".pyc":
            path = Path(str(file.locate()))
            yield path.stat().st_size if path.is_file() else 0


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
