"""Cases run in worker processes that are watched for death, time, memory and untyped errors."""

from __future__ import annotations

import importlib
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ml_tasks.errors import ImageRejected

CPU_SECONDS, MEGABYTES = 2.0, 512  # that one case may take
_HANGS = 60.0  # seconds in one case, after which a worker is ended
_STARTS = 300.0  # until the first case: many programs may share the machine
_REPORTED = 50  # cases between two reports of a worker

Target = Callable[[int], str]  # runs a case by its number, names its format; may raise anything


@dataclass
class Outcome:
    """How the cases ended: counts of (format, result), and what should never be."""

    cases: int = 0
    results: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0  # CPU seconds
    largest: float = 0.0  # MB

    def add(self, other: Outcome) -> None:
        """Takes in what another outcome holds."""
        self.cases += other.cases
        self.results += other.results
        self.faults += other.faults
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)


def run(target: str, count: int, workers: int = 2) -> Outcome:
    """Cases 0 to count-1 of a target, "module:function"; each runs once, whatever others do."""
    total = Outcome()
    shares = [_Share(target, list(range(number, count, workers))) for number in range(workers)]
    while any(share.left for share in shares):
        for share in shares:
            total.add(share.progress())
    return total


class _Share:
    """Cases of one worker, which is started anew after each case that ended it."""

    def __init__(self, target: str, cases: list[int]) -> None:
        self.left, self._target = cases, target
        self._process: Any = None
        self._start()

    def _start(self) -> None:
        # Spawned, not forked: a case must not inherit what the test run has in memory.
        context = multiprocessing.get_context("spawn")
        self._inbox, theirs = context.Pipe(duplex=False)
        self._now = context.Value("q", -1)
        work = (self._target, self.left, theirs, self._now)
        self._process = context.Process(target=_work, args=work, daemon=True)
        self._process.start()
        theirs.close()

    def progress(self) -> Outcome:
        """What the worker reports next; a worker that died or hangs is a fault of its case."""
        if not self.left:
            return Outcome()
        try:
            if self._heard():
                report: Outcome = self._inbox.recv()
                self.left = self.left[report.cases :]
                if not self.left:
                    self._process.join()
                return report
            how = f"took more than {_HANGS:g} s"
            self._process.kill()
        except EOFError:
            how = "ended its process"
        self._process.join()
        return self._lost(f"{how} (exit code {self._process.exitcode})")

    def _heard(self) -> bool:
        """Waits for a report, or the worker's death; False once one case takes too long."""
        while True:
            case = self._now.value
            if self._inbox.poll(_HANGS if case >= 0 else _STARTS):
                return True
            if self._now.value == case:
                return False

    def _lost(self, how: str) -> Outcome:
        """The case that ran is a fault; those before it since the last report count as run."""
        case = self._now.value
        done = self.left.index(case) + 1 if case in self.left else 0
        if not done:
            raise RuntimeError(f"the worker {how} before any case; is {self._target} importable?")
        self.left = self.left[done:]
        if self.left:
            self._start()
        return Outcome(cases=done, faults=[f"case {case} {how}"])


def _work(target: str, cases: list[int], outbox: Connection, now: Any) -> None:
    module, name = target.split(":")
    run_case: Target = getattr(importlib.import_module(module), name)
    report = Outcome()
    for case in cases:
        now.value = case
        _watched(run_case, case, report)
        if report.cases == _REPORTED or report.faults:  # a fault must outlive its process
            outbox.send(report)
            report = Outcome()
    outbox.send(report)


def _watched(run_case: Target, case: int, report: Outcome) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak of resident memory
    start = time.process_time()  # not the clock: other programs share the machine
    try:
        kind = run_case(case)
        report.results[kind, "read"] += 1
    except ImageRejected as refusal:
        report.results[kind_of(refusal), refusal.code] += 1
        if not (refusal.code and str(refusal)):
            report.faults.append(f"case {case} was refused without a code or a reason")
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
        report.faults.append(f"case {case} raised {type(error).__name__}: {error}")
    taken, size = time.process_time() - start, _peak()
    if taken > CPU_SECONDS:
        report.faults.append(f"case {case} took {taken:.1f} s")
    if size > MEGABYTES:
        report.faults.append(f"case {case} took {size:.0f} MB")
    report.cases += 1
    report.slowest, report.largest = max(report.slowest, taken), max(report.largest, size)


def kind_of(refusal: ImageRejected) -> str:
    """The format of the file that was refused, which the target notes on the error."""
    return next(iter(getattr(refusal, "__notes__", ())), "?")


def _peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))
