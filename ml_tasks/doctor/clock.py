"""The clock: versions, splits and logs go by it."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ml_tasks.doctor.findings import Finding, note, ok, to_mend
from ml_tasks.doctor.place import Place
from ml_tasks.records import Record

NAME = "clock"
TOLERATED = 60.0  # seconds between two clocks
_SET = "sudo timedatectl set-ntp true (or install chrony)"


class ClockFacts(Record):
    """Seconds since 1970 by this clock and by what it can be held against; None: not known."""

    now: float
    newest_written: float | None = None  # the newest file of the checkout and the releases
    engine: float | None = None
    zone: str = ""  # the variable TZ
    zone_known: bool = True


def look(place: Place, engine_time: str = "") -> ClockFacts:
    """Holds the clock against files that were written before, and against the engine's clock."""
    releases = place.config.paths.releases
    files = [place.project / "pyproject.toml", *releases.glob("*"), *releases.glob("*.jsonl")]
    times = []
    for path in files:
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    zone = place.environment.get("TZ", "").removeprefix(":")
    return ClockFacts(
        now=time.time(),
        newest_written=max(times, default=None),
        engine=_seconds(engine_time),
        zone=zone,
        zone_known=not zone or _is_zone(zone),
    )


def judge(facts: ClockFacts) -> list[Finding]:
    """One line."""
    shown = f"{datetime.fromtimestamp(facts.now, UTC):%Y-%m-%d %H:%M} UTC"
    written, engine = facts.newest_written, facts.engine
    if written is not None and written > facts.now + TOLERATED:
        ahead = f"{datetime.fromtimestamp(written, UTC):%Y-%m-%d %H:%M}"
        return [to_mend(NAME, f"{shown}, but a file here was written at {ahead}", _SET)]
    if engine is not None and abs(engine - facts.now) > TOLERATED:
        apart = f"{abs(engine - facts.now):.0f} s"
        return [to_mend(NAME, f"{shown}, but the Docker engine's clock is {apart} off", _SET)]
    if not facts.zone_known:
        words = f"{shown}; TZ is {facts.zone!r}, which is no time zone: logs show UTC"
        return [note(NAME, words, "set TZ to a name such as Europe/Paris, or take it out")]
    return [ok(NAME, shown)]


def _is_zone(name: str) -> bool:
    if Path(name).is_absolute():
        return Path(name).exists()
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _seconds(text: str) -> float | None:
    """Docker tells nanoseconds, which Python does not read: the whole seconds are enough."""
    with suppress(ValueError):
        return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC).timestamp()
    return None
