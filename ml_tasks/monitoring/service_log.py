"""The service's statistics files, line by line: what counts, and what was left out and why.

A service that writes and rotates meanwhile loses and doubles nothing: the files of a family are
opened from the newest to the oldest, so that a rotation can only show one twice, which its inode
tells; and of each only what it held as it was opened is read.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from ml_tasks.errors import DriftError
from ml_tasks.monitoring.reference import FIGURES
from ml_tasks.records import Record

MOST = 20_000  # images that are compared; of more, a sample by a fixed seed
_REMEMBERED = 500_000  # images, in some 30 MB; later ones are held to these alone
_LONGEST = 100_000  # bytes of a line; the service writes about 600
_ROTATIONS = 10  # while the files are opened, which takes a moment
_FILE = re.compile(r"(?P<family>.+\.jsonl)(?:\.(?P<age>\d+))?")


@dataclass(frozen=True)
class Window:
    """The images that are looked at: of one release, from `since` up to `until` (UTC)."""

    version: str
    since: datetime
    until: datetime


class LineCounts(Record):
    """What became of every line of the statistics files."""

    files: int = 0
    images: int = 0  # of the production release, in the window
    compared: int = 0  # of these; fewer where they are too many
    repeated: int = 0  # figures and answer of an image that is counted already: the same picture
    earlier: int = 0  # of the production release, before the window
    later: int = 0
    other_version: int = 0
    unusable: int = 0  # a figure is missing or is no number
    foreign: int = 0  # lines that the service did not write so
    torn: int = 0  # ends of files that are still being written, or were cut off


@dataclass
class Seen:
    """The images of a window: a sample of their figures, and what could be counted of all."""

    figures: list[tuple[float, ...]] = field(default_factory=list)  # in the order of FIGURES
    probabilities: list[float] = field(default_factory=list)
    quality: Counter[str] = field(default_factory=Counter)  # images with each warning
    formats: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    known: set[int] = field(default_factory=set)  # of the images: hashes of what is told of each

    @property
    def images(self) -> int:
        return self.counts["images"]

    def line_counts(self) -> LineCounts:
        """The counts as a record."""
        return LineCounts(**{**self.counts, "compared": len(self.figures)})


def read_statistics(folder: Path, window: Window) -> Seen:
    """Everything of the window in the `*.jsonl` files of `folder`, rotated ones too.

    Memory has a bound, however large the files are. A folder that does not exist holds nothing.

    Raises:
        DriftError: a file cannot be read.
    """
    seen, chance = Seen(), random.Random(window.version)
    with _readable(folder), ExitStack() as stack:
        for stream, size in _opened(folder, stack):
            seen.counts["files"] += 1
            for line in _lines(stream, size):
                _take(line, window, seen, chance)
    return seen


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DriftError(
            f"the service's statistics in {folder} cannot be read ({error.strerror}: "
            f"{error.filename or folder}); give this user the right to read them, e.g. "
            f"sudo chmod -R a+rX {folder}"
        ) from error


def _opened(folder: Path, stack: ExitStack) -> list[tuple[IO[bytes], int]]:
    """Every file once, with its size, the oldest first; all stay open, so no inode is reused."""
    found: list[tuple[IO[bytes], int]] = []
    known = set()
    for path in _newest_first(folder):
        try:
            stream = stack.enter_context(path.open("rb"))
        except (FileNotFoundError, IsADirectoryError):
            continue
        status = os.fstat(stream.fileno())
        if (status.st_dev, status.st_ino) not in known:
            known.add((status.st_dev, status.st_ino))
            found.append((stream, status.st_size))
    return found[::-1]


def _newest_first(folder: Path) -> list[Path]:
    """Each family's files by age, with the names that rotations meanwhile would give them."""
    if not folder.is_dir():
        return []
    families: dict[str, set[int]] = {}
    for path in folder.iterdir():
        if match := _FILE.fullmatch(path.name):
            age = int(match["age"] or 0)
            families.setdefault(match["family"], {0}).update(range(age, age + _ROTATIONS + 1))
    return [
        folder / (f"{family}.{age}" if age else family)
        for family, ages in sorted(families.items())
        for age in sorted(ages)
    ]


def _lines(stream: IO[bytes], size: int) -> Iterator[bytes]:
    """The lines of the first `size` bytes; one that is not complete comes without its feed."""
    while size > 0 and (line := stream.readline(min(size, _LONGEST))):
        size -= len(line)
        yield line


def _take(line: bytes, window: Window, seen: Seen, chance: random.Random) -> None:
    if not line.endswith(b"\n"):
        seen.counts["torn" if len(line) < _LONGEST else "foreign"] += 1
        return
    if not line.strip():
        return
    told = _statistics_in(line)
    kind = "foreign" if told is None else _kind(told, window)
    if kind != "images":
        seen.counts[kind] += 1
        return
    assert told is not None
    values = _values(told)
    if values is None:
        seen.counts["unusable"] += 1
        return
    # A picture that somebody tries a hundred times is one image, and says nothing of the others.
    if hash(values) in seen.known:
        seen.counts["repeated"] += 1
        return
    if len(seen.known) < _REMEMBERED:
        seen.known.add(hash(values))
    seen.counts["images"] += 1
    seen.quality.update({_word(code) for code in _list(told.get("quality"))})
    seen.formats[_word(told.get("format", ""))] += 1
    _sample(values, seen, chance)


def _statistics_in(line: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) and told.get("event") == "statistics" else None


def _kind(told: dict[str, Any], window: Window) -> str:
    if told.get("model_version") != window.version:
        return "other_version"
    try:
        at = datetime.fromisoformat(told["time"])
    except (KeyError, TypeError, ValueError):
        return "unusable"
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at < window.since:
        return "earlier"
    return "later" if at > window.until else "images"


def _values(told: dict[str, Any]) -> tuple[float, ...] | None:
    """Probability, then the figures; None where one is missing or no finite number."""
    picture = told.get("picture")
    if not isinstance(picture, dict):
        return None
    values = [told.get("probability"), *(picture.get(name) for name in FIGURES)]
    numbers = [_float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values) or not all(math.isfinite(number) for number in numbers):
        return None
    return tuple(numbers) if 0 <= numbers[0] <= 1 else None


def _word(value: Any) -> str:
    """As a page can show it."""
    return str(value)[:40].encode("utf-8", "backslashreplace").decode()


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sample(values: tuple[float, ...], seen: Seen, chance: random.Random) -> None:
    """Keeps each image with the same chance, whatever their number (a reservoir)."""
    at = len(seen.figures)
    if at >= MOST:
        at = chance.randrange(seen.images)
        if at >= MOST:
            return
        seen.probabilities[at], seen.figures[at] = values[0], values[1:]
        return
    seen.probabilities.append(values[0])
    seen.figures.append(values[1:])
