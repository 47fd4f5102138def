"""Many files: two processes against one, memory a worker, and a run in which nothing changed."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks import films
from benchmarks.table import Effort, Row
from benchmarks.timing import Seconds, in_turn, ratio
from ml_tasks.dataset.examine_files import Examiner, examine_files
from ml_tasks.imaging.spec import ImageSpec

TWO_GOAL, AGAIN_GOAL, MEMORY_GOAL = 1.8, 50.0, 300
_POLL = 0.02  # seconds
_DEEP_FILMS = 12  # of each format whose memory is measured
_LARGEST_FILMS = 2


def rows(folder: Path, effort: Effort) -> list[Row]:
    """The comparisons over many JPEG films, and the others of `folder`, where all is written."""
    files, rounds = _films(folder / "raw", effort), max(3, effort.rounds // 6)
    return [
        _processes(folder, files, rounds),
        *_run_again(folder, files, rounds, films.jpeg(films.film(effort.scale, 99))),
        *_memory(folder, files),
        *_memory_of_largest(folder, effort),
    ]


def _processes(folder: Path, files: list[Path], rounds: int) -> Row:
    def run(workers: int) -> None:
        shutil.rmtree(folder / "cache", ignore_errors=True)
        examine_files(folder, files, _examiner(folder, workers))

    seconds = in_turn({"one": lambda: run(1), "two": lambda: run(2)}, rounds)
    found = ratio(seconds["one"], seconds["two"])
    return Row(
        f"{len(files)} JPEG films, one process / two (starting them included)",
        _seconds(seconds["two"]),
        _seconds(seconds["one"]),
        found,
        f"at least {TWO_GOAL:g}",
        found.median >= TWO_GOAL,
    )


def _run_again(folder: Path, files: list[Path], rounds: int, other: bytes) -> list[Row]:
    """Fresh and unchanged in turn; then one file is changed and the entries made are counted."""
    examiner = _examiner(folder, 2)
    first: list[float] = []
    again: list[float] = []
    for _ in range(rounds):
        shutil.rmtree(folder / "cache", ignore_errors=True)
        for taken in (first, again):
            start = time.perf_counter()
            examine_files(folder, files, examiner)
            taken.append(time.perf_counter() - start)
    found = ratio(np.asarray(first), np.asarray(again))
    before = _entries(folder)
    files[0].write_bytes(other)
    examine_files(folder, files, examiner)
    made = len(_entries(folder) - before)
    return [
        Row(
            "The same films again, first run / unchanged run",
            f"{1000 * float(np.median(again)):.0f} ms",
            _seconds(np.asarray(first)),
            found,
            f"at least {AGAIN_GOAL:g}",
            found.median >= AGAIN_GOAL,
        ),
        Row(
            "Films examined anew after one of them changed",
            str(made),
            str(len(files)),
            float(made),
            "1",
            made == 1,
        ),
    ]


def _memory(folder: Path, files: list[Path]) -> list[Row]:
    """The peak of a worker's own memory, for few and many files, and for each format."""
    sets = {f"{len(files) // 8} JPEG": files[: len(files) // 8], f"{len(files)} JPEG": files}
    kinds = {name: f"{name}.dcm" for name in films.SYNTAXES} | {"PNG, 16 bit": "film.png"}
    sets |= {kind: _copies(folder, name) for kind, name in kinds.items()}
    return [_peak_row(folder, name, members) for name, members in sets.items()]


def _memory_of_largest(folder: Path, effort: Effort) -> Iterator[Row]:
    """The same for the largest film of each format; its files are written one after the other."""
    for name, data in films.largest(effort.largest):
        (folder / name).write_bytes(data)
        members = _copies(folder, name, _LARGEST_FILMS)
        yield _peak_row(folder, f"largest film, {name}", members)
        for file in (folder / name, *members):
            file.unlink()


def _peak_row(folder: Path, name: str, members: list[Path]) -> Row:
    shutil.rmtree(folder / "cache", ignore_errors=True)
    with _peak_of_children() as peak:
        found = examine_files(folder, members, _examiner(folder, 2))
    refused = [examined.facts.rejection for examined in found if examined.facts.rejection]
    if refused:
        raise RuntimeError(f"{name} was not read: {refused[0]}")
    most = max(peak)
    return Row(
        f"Peak memory of a worker, {name}",
        f"{most:.0f} MB",
        "",
        most,
        f"at most {MEMORY_GOAL} MB",
        most <= MEMORY_GOAL,
    )


def _films(folder: Path, effort: Effort) -> list[Path]:
    """JPEG files of different content: eight films, each with a comment of its own."""
    folder.mkdir(parents=True)
    pictures = [films.jpeg(films.film(effort.scale, number)) for number in range(8)]
    files = []
    for number in range(effort.files):
        data, note = pictures[number % 8], f"{number:06}".encode()
        comment = b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note
        files.append(folder / f"{number:05}.jpg")
        files[-1].write_bytes(data[:2] + comment + data[2:])
    return files


def _copies(folder: Path, name: str, count: int = _DEEP_FILMS) -> list[Path]:
    """Copies of one file that differ in a byte after its end, so that each is examined."""
    data = (folder / name).read_bytes()
    copies = [folder / f"copy{number}_{name}" for number in range(count)]
    for number, copy in enumerate(copies):
        copy.write_bytes(data + bytes([number, number]))
    return copies


def _examiner(folder: Path, workers: int) -> Examiner:
    return Examiner(ImageSpec(), folder / "cache", workers=workers)


def _entries(folder: Path) -> set[Path]:
    kept = (file for file in (folder / "cache").rglob("*") if file.is_file())
    return {file for file in kept if file.suffix != ".json"}


@contextmanager
def _peak_of_children() -> Iterator[list[float]]:
    """The high-water mark, in MB, of each process that the block starts; it grows at its end."""
    own = Path("/proc/self").resolve().name
    lasting = set(_below(own))
    peaks: dict[str, float] = {}
    ended, most = threading.Event(), [0.0]

    def watch() -> None:
        while not ended.wait(_POLL):
            for process in set(_below(own)) - lasting:
                # The latest word counts, for it only grows: but before a new process runs a program
                # of its own, it shows the memory of the one that it was forked from.
                peaks[process] = _high_water(process) or peaks.get(process, 0.0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()
        most.extend(peaks.values())


def _below(process: str) -> list[str]:
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # it has just ended
            continue
        for child in children:
            found += [child, *_below(child)]
    return found


def _high_water(process: str) -> float:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM")), 0.0)


def _seconds(seconds: Seconds) -> str:
    return f"{float(np.median(seconds)):.2f} s"
