"""`python -m ml_tasks.serving.packages`: what is installed beside the service, as JSON.

Run in the image, so that its bill of materials lists what is there and not what should be.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

_STATUS = ("var/lib/dpkg/status", "var/lib/dpkg/status.d")
_LICENCE_CLASSIFIER = "License :: "
Package = dict[str, str | list[str]]


def installed(root: Path = Path("/")) -> dict[str, object]:
    """The interpreter, the system, and every Python and Debian package, sorted by name."""
    return {
        "python": platform.python_version(),
        "system": _system(root),
        "python_packages": sorted(_python_packages(), key=_by_name),
        "debian_packages": sorted(_debian_packages(root), key=_by_name),
    }


def _by_name(package: Package) -> str:
    return f"{package['name']} {package['version']}"


def _system(root: Path) -> dict[str, str]:
    try:
        lines = (root / "etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    return {key.lower(): told[key].strip('"') for key in ("ID", "VERSION_ID") if key in told}


def _python_packages() -> Iterator[Package]:
    for found in distributions():
        yield {
            "name": found.metadata["Name"],
            "version": found.version,
            "expression": _told(found, "License-Expression"),
            "licence": _told(found, "License"),
            "classifiers": [
                text.removeprefix(_LICENCE_CLASSIFIER)
                for text in found.metadata.get_all("Classifier") or []
                if text.startswith(_LICENCE_CLASSIFIER)
            ],
        }


def _told(found: Distribution, key: str) -> str:
    """The first line of a field: some packages put the whole text of their licence there."""
    value = (found.metadata.get_all(key) or [""])[0]
    return value.strip().split("\n", 1)[0].strip()


def _debian_packages(root: Path) -> Iterator[Package]:
    for paragraph in _paragraphs(root):
        lines = [line for line in paragraph.splitlines() if not line.startswith(" ")]
        told = dict(line.split(": ", 1) for line in lines if ": " in line)
        # One that was removed stays listed, as not installed; files of status.d tell no state.
        if "Package" in told and told.get("Status", "ok installed").endswith("ok installed"):
            yield {
                "name": told["Package"],
                "version": told.get("Version", ""),
                "architecture": told.get("Architecture", ""),
                # "name" or "name (version)"; left out where it is the package's own name.
                "source": told.get("Source", ""),
            }


def _paragraphs(root: Path) -> Iterator[str]:
    for name in _STATUS:
        place = root / name
        for file in sorted(place.iterdir()) if place.is_dir() else [place]:
            if file.is_file() and file.suffix != ".md5sums":
                yield from file.read_text(errors="replace").split("\n\n")


if __name__ == "__main__":
    # In one piece and with its line feed: an engine's log may lose a line that has none.
    sys.stdout.write(json.dumps(installed(), sort_keys=True) + "\n")
