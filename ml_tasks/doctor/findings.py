"""What the doctor says of one thing: it is well, worth a word, or to be mended, and how."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from ml_tasks.records import Record


class State(StrEnum):
    """How a thing is."""

    OK = "OK"
    NOTE = "note"  # a run goes well all the same
    MEND = "MEND"


class Finding(Record):
    """One line: what was looked at, how it is, and what to do about it."""

    name: str
    state: State
    text: str
    mend: str = ""

    def line(self) -> str:
        """The line for people; a text of several lines is made one."""
        words = f"{self.text}; {self.mend}" if self.mend else self.text
        return f"{self.state.value:<5} {self.name:<17} {' '.join(words.split())}"


def ok(name: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(name=name, state=State.OK, text=text)


def note(name: str, text: str, mend: str = "") -> Finding:
    """A run goes well with it; somebody should know all the same."""
    return Finding(name=name, state=State.NOTE, text=text, mend=mend)


def to_mend(name: str, text: str, mend: str) -> Finding:
    """A run, or what follows it, would go wrong; `mend` says what to do."""
    return Finding(name=name, state=State.MEND, text=text, mend=mend)


def table(findings: Sequence[Finding]) -> str:
    """A line for each finding, and one that counts them."""
    counts = {state: sum(each.state is state for each in findings) for state in State}
    wrong, noted = counts[State.MEND], counts[State.NOTE]
    end = f"{wrong} to mend" if wrong else "nothing must be mended"
    lines = [each.line() for each in findings]
    return "\n".join([*lines, f"{len(findings)} looked at: {end}, {noted} worth a word", ""])
