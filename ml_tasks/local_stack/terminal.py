"""What the demo says to the person at the terminal: the one place that prints."""

from __future__ import annotations

import sys
import time


def say(text: str = "") -> None:
    """One line on stdout, at once."""
    print(text, file=sys.stdout, flush=True)


def step(text: str) -> None:
    """A line of the course of events, with the time of day."""
    say(f"{time.strftime('%H:%M:%S')}  {text}")


def heading(text: str) -> None:
    """A line that parts what follows from what went before."""
    say(f"\n{text}\n{'-' * len(text)}")


def in_words(seconds: float) -> str:
    """A duration for people: `8 s`, `3 min 20 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"
