"""One row for each comparison, and the page they stand on."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from benchmarks.timing import Ratio

PROJECT = Path(__file__).resolve().parents[1]
_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "simplejpeg",
    "imagecodecs",
    "pillow",
    "pyvips-binary",
    "pydicom",
    "keras",
)


@dataclass(frozen=True)
class Row:
    """One comparison: what was measured against what, and whether the goal was reached."""

    what: str
    ours: str
    other: str
    figure: Ratio | float
    goal: str = ""  # in words; empty where the figure is for information
    met: bool | None = None

    @property
    def shown_figure(self) -> str:
        """The figure in words."""
        return str(self.figure) if isinstance(self.figure, Ratio) else f"{self.figure:.2f}"

    def __str__(self) -> str:
        met = {True: "yes", False: "**no**", None: ""}[self.met]
        cells = (self.what, self.ours, self.other, self.shown_figure, self.goal, met)
        return "| " + " | ".join(str(cell) for cell in cells) + " |"


def not_measured(what: str, why: str) -> Row:
    """A comparison that could not be made here; it counts as a goal that was missed."""
    return Row(what, "not measured", why, float("nan"), "to be measured", met=False)


_INTRODUCTION = """# Benchmarks

`make bench` writes this page (`python -m benchmarks --quick` prints a short run). Ours and the
others run in turn, in an order that changes every round, so that a machine which is slower for a
while is so for all of them. A figure is the median of the rounds' ratios, with its 95 % bootstrap
interval.

From the file on disk (in the system's cache) to finished 128×128 pixels. Ours includes everything:
size and format checks, polarity, frame, labels, breast mask, side, crop; the bare decodes only
decode and shrink. One thread each. The films are synthetic: 4096×3328 pixels (13.6 megapixels) with
grain; JPEG of quality 90, PNG of 16 bit, DICOM of 12 bit. The plain way is what scripts do: a full
RGB picture by Pillow, a mask at full size, crop, Lanczos. The bare decode of a row is the fastest
of those in its column, in the same run. Uncompressed DICOM is the one format that need not be
decoded: NumPy told by hand where the pixels lie only shrinks them, and no cleaning fits into that
time.

Evaluation is measured on made-up answers of a model: what is timed is everything that follows them.

Training runs the real network on made-up pictures: the stage's input, bytes mapped from the disk,
against float32 arrays in memory. [training.md](training.md) says how to measure a GPU.
The service has a page of its own: [benchmarks-serving.md](benchmarks-serving.md).
"""


@dataclass(frozen=True)
class Effort:
    """How much is measured: rounds, JPEG films for what takes many, and how large films are."""

    rounds: int
    files: int
    scale: int  # times the 512x416 pixels of a phantom
    largest: int  # the same, of the films whose memory is measured
    requests: int  # to each service in a round, of all clients together


FULL, QUICK = Effort(30, 400, 8, 15, 96), Effort(2, 16, 4, 4, 16)


@dataclass(frozen=True)
class Page:
    """Where a table stands, what is said above it, and which packages it depends on."""

    file: Path
    introduction: str
    packages: tuple[str, ...]
    peers: Path | None = None  # another environment, whose packages are looked for there


PIPELINE = Page(PROJECT / "docs" / "benchmarks.md", _INTRODUCTION, _PACKAGES)


def page(rows: Sequence[Row], effort: Effort, about: Page = PIPELINE) -> str:
    """The whole page as Markdown."""
    lines = [
        about.introduction,
        f"{datetime.now(UTC):%Y-%m-%d}, revision {revision()}, {effort.rounds} rounds,",
        f"{machine()};",
        ", ".join(f"{name} {_version(name, about.peers)}" for name in about.packages) + ".",
        "",
        "| what | ours | other | figure | goal | reached |",
        "|---|---|---|---|---|---|",
        *(str(row) for row in rows),
        "",
    ]
    return "\n".join(lines)


def _version(name: str, peers: Path | None) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        folders = (
            [str(folder) for folder in peers.glob("lib/python*/site-packages")] if peers else []
        )
        found = distributions(name=name, path=folders)
        return next((each.version for each in found), "(not installed)")


def revision() -> str:
    """The commit that is measured."""
    done = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=PROJECT, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


def machine() -> str:
    """Cores, processor and Python."""
    cpu = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in cpu if "model name" in line), "")
    cores = sum(line.startswith("processor") for line in cpu)
    return f"{cores} cores ({model or platform.machine()}), Python {platform.python_version()}"
