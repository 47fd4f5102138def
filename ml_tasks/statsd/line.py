"""One StatsD line with InfluxDB tags, as Airflow sends it, read into a typed record."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]")
_LABEL = re.compile(r"(?!__|le$)[a-zA-Z_][a-zA-Z0-9_]*")
_LONGEST = 512  # characters of a label's value


class Kind(StrEnum):
    """The three kinds that Airflow sends, by their mark in the line."""

    COUNTER = "c"
    GAUGE = "g"
    TIMER = "ms"


class LineRefused(ValueError):
    """The line is not of the form `name,label=value:number|kind`."""


@dataclass(frozen=True)
class Reading:
    """One reading; a time's value is in seconds, `step` says that a gauge's value is a change."""

    kind: Kind
    name: str
    labels: tuple[tuple[str, str], ...]
    value: float
    step: bool = False


def parse(line: str) -> Reading:
    """The reading of `airflow.pool.open_slots,pool_name=gpu:1|g`.

    Raises:
        LineRefused: it has another form, or its number is none.
    """
    head, colon, tail = line.rpartition(":")
    parts = tail.split("|")
    if not colon or len(parts) not in (2, 3):
        raise LineRefused(f"{line[:200]!r} is not of the form name:number|kind")
    kind, value = _kind(parts[1], line), _number(parts[0], line)
    if len(parts) == 3 and kind is Kind.COUNTER:
        value /= _rate(parts[2], line)
    name, *tags = head.split(",")
    step = kind is Kind.GAUGE and parts[0][0] in "+-"
    if kind is Kind.TIMER:
        value /= 1000
    return Reading(kind, _name(name, kind, line), _labels(tags, line), value, step)


def _kind(mark: str, line: str) -> Kind:
    try:
        return Kind(mark)
    except ValueError:
        raise LineRefused(f"{line[:200]!r}: {mark!r} is none of c, g, ms") from None


def _number(text: str, line: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LineRefused(f"{line[:200]!r}: {text!r} is no number")
    return value


def _rate(text: str, line: str) -> float:
    rate = _number(text[1:], line) if text[:1] == "@" else 0.0
    if not 0 < rate <= 1:
        raise LineRefused(f"{line[:200]!r}: the rate {text!r} is not between @0 and @1")
    return rate


def _name(name: str, kind: Kind, line: str) -> str:
    """The name as Prometheus has it: counters end in _total, times in _seconds."""
    if not name or name[0].isdigit():
        raise LineRefused(f"{line[:200]!r} has no name")
    plain = _NOT_IN_NAMES.sub("_", name)
    return plain + {Kind.COUNTER: "_total", Kind.GAUGE: "", Kind.TIMER: "_seconds"}[kind]


def _labels(tags: list[str], line: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for tag in tags:
        label, equals, value = tag.partition("=")
        label = _NOT_IN_NAMES.sub("_", label)
        if not equals or not _LABEL.fullmatch(label):
            raise LineRefused(f"{line[:200]!r}: {tag!r} is no label=value")
        found[label] = value[:_LONGEST]
    return tuple(sorted(found.items()))
