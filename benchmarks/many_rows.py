"""What grows with the number of images in a data set: memory and processor time of made-up rows.

`python -m benchmarks.many_rows --write` writes docs/benchmarks-rows.json, from which docs/sizing.md
is made. Each step runs in a process of its own; its time is the processor's, which depends less on
what else the machine does. A million rows take five minutes and six gigabytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.table import PROJECT
from ml_tasks.config import SplitConfig
from ml_tasks.dataset.ledger import Film, Ledger
from ml_tasks.dataset.manifest import IndexRow, ManifestRow, read_rows, write_rows
from ml_tasks.dataset.near_duplicates import near_duplicates
from ml_tasks.dataset.seen_files import SeenFiles
from ml_tasks.dataset.shard import planned_rows
from ml_tasks.records import Split

FILE = PROJECT / "docs" / "benchmarks-rows.json"
IMAGES_OF_A_PATIENT = 4
_SIZES = (10_000, 100_000, 1_000_000)
_PRINTS = (2_000, 4_000)  # grows with the square: more would only take longer
_PRINTS_SIDE = 64


@dataclass(frozen=True)
class Measured:
    """One step with so many images."""

    step: str
    images: int
    seconds: float  # of the processor
    megabytes: float  # the most that the process held, beyond what it held before the step
    file_megabytes: float  # what it leaves on the disk; 0: nothing


def rows_of(images: int) -> Iterator[ManifestRow]:
    """Rows as validation writes them, with figures of usual length."""
    for number in range(images):
        mark = hashlib.sha256(str(number).encode()).hexdigest()
        label = "Positive" if number // IMAGES_OF_A_PATIENT % 2 else "Negative"
        yield ManifestRow(
            path=f"{label}/{number // 1000:06d}/{number:09d}.dcm",
            label=label,
            patient=f"patient_{number // IMAGES_OF_A_PATIENT:08d}",
            bytes=27_000_000 + number,
            sha256=mark,
            format="DICOM",
            width=3328,
            height=4096,
            mode="MONOCHROME2",
            bit_depth=12,
            pixel_sha256=mark[::-1],
            brightness=96.123456 + number % 7,
            contrast=31.654321,
            saturation=0.001234,
            sharpness=0.012345,
            breast_share=0.3 + number % 5 / 10,
            label_blobs=1,
            inverted=False,
            framed=False,
            chest_wall="left",
            view="MLO",
            laterality="L",
            manufacturer="Maker",
        )


def _write_manifest(images: int, folder: Path) -> Path:
    write_rows(folder / "manifest.csv", list(rows_of(images)), ManifestRow)
    return folder / "manifest.csv"


def _read_manifest(images: int, folder: Path) -> Path:
    assert len(read_rows(folder / "manifest.csv", ManifestRow)) == images
    return folder / "nothing"


def _plan(images: int, folder: Path) -> Path:
    rows = read_rows(folder / "manifest.csv", ManifestRow)
    planned = planned_rows(rows, {row.patient: Split.TRAIN for row in rows})
    write_rows(folder / "plan.csv", planned, IndexRow)
    return folder / "plan.csv"


def _commit_ledger(images: int, folder: Path) -> Path:
    films, placed = [], {}
    for row in rows_of(images):
        films.append(Film(row.sha256, row.pixel_sha256, row.patient))
        placed[row.patient] = Split.TRAIN
    ledger = Ledger.open(folder / "ledger.jsonl", SplitConfig())
    ledger.commit(placed, "a-run-of-usual-name-2026-11-29", "2026-11-29T03:00:00+00:00", films)
    return folder / "ledger.jsonl"


def _open_ledger(images: int, folder: Path) -> Path:
    assert len(Ledger.open(folder / "ledger.jsonl", SplitConfig()).films) >= images
    return folder / "nothing"


def _save_seen_files(images: int, folder: Path) -> Path:
    seen = SeenFiles(folder, folder)
    for row in rows_of(images):
        seen.note(f"/mammo/data/raw/{row.path}", (row.bytes, 1, 1, 12345678), row.sha256)
    seen.save()
    return next(folder.glob("seen-*.json"))


def _compare_prints(images: int, folder: Path) -> Path:
    random = np.random.default_rng(1)
    shape = (images, _PRINTS_SIDE, _PRINTS_SIDE)
    near_duplicates(random.integers(-90, 90, shape).astype(np.int8))
    return folder / "nothing"


STEPS: dict[str, Callable[[int, Path], Path]] = {
    "write manifest.csv": _write_manifest,
    "read manifest.csv": _read_manifest,
    "plan: manifest to plan.csv": _plan,
    "ledger: first commit": _commit_ledger,
    "ledger: open": _open_ledger,
    "notes on seen files": _save_seen_files,
}
NEAR_DUPLICATES = "near-duplicates, every picture with every other"


def measured(sizes: tuple[int, ...], prints: tuple[int, ...]) -> Iterator[Measured]:
    """Every step at every size, one after the other."""
    with tempfile.TemporaryDirectory(prefix="mammo-rows-") as folder:
        for images in prints:
            yield _apart(NEAR_DUPLICATES, images, Path(folder))
    for images in sizes:
        with tempfile.TemporaryDirectory(prefix="mammo-rows-") as folder:
            for step in STEPS:
                yield _apart(step, images, Path(folder))


def _apart(step: str, images: int, folder: Path) -> Measured:
    """A step in a process of its own, so that its peak is its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(step, images, folder, sender))
    process.start()
    sender.close()
    try:
        return Measured(*receiver.recv())
    except EOFError:
        raise RuntimeError(f"{step} of {images:,} images ended without a figure") from None
    finally:
        process.join()


def _run(step: str, images: int, folder: Path, answer: Connection) -> None:
    action = _compare_prints if step == NEAR_DUPLICATES else STEPS[step]
    before, begin = _peak(), time.process_time()
    left = action(images, folder)
    seconds = time.process_time() - begin
    size = left.stat().st_size / 1e6 if left.exists() else 0.0
    answer.send((step, images, round(seconds, 2), round(_peak() - before, 1), round(size, 2)))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main(arguments: list[str] | None = None) -> int:
    """Prints a line for each step."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_rows", description=__doc__)
    parser.add_argument("--largest", type=int, default=_SIZES[-1], help="images, at most")
    parser.add_argument("--write", action="store_true", help=f"write docs/{FILE.name}")
    chosen = parser.parse_args(arguments)
    found: list[dict[str, object]] = []
    for each in measured(tuple(size for size in _SIZES if size <= chosen.largest), _PRINTS):
        found.append(asdict(each))
        print(*found[-1].values(), sep="\t", flush=True)
        if chosen.write:
            FILE.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
