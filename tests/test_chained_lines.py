"""Sealed lines: what was written is read back, and nothing can be edited, lost or moved unseen."""

from __future__ import annotations

import pytest

from ml_tasks.chained_lines import intact, sealed

ENTRIES = [{"patient": f"P{number} é\n\0", "split": "test"} for number in range(4)]


def chain(digits: int) -> list[str]:
    lines: list[str] = []
    for entry in ENTRIES:
        lines.append(sealed(entry, lines[-1] if lines else "", digits))
    return lines


def read(lines: list[str], digits: int) -> list[dict[str, str] | None]:
    return [intact(line, before, digits) for before, line in zip(["", *lines], lines, strict=False)]


@pytest.mark.parametrize("digits", [16, 64])
def test_what_was_sealed_is_read_back(digits: int) -> None:
    lines = chain(digits)
    assert read(lines, digits) == ENTRIES
    assert all(line.isascii() and "\n" not in line for line in lines)


def test_an_edited_line_is_noticed() -> None:
    lines = chain(64)
    lines[1] = lines[1].replace('"test"', '"train"')
    assert read(lines, 64)[:3] == [ENTRIES[0], None, None]


def test_a_lost_or_moved_line_is_noticed() -> None:
    first, second, third, _ = chain(64)
    assert read([first, third], 64) == [ENTRIES[0], None]
    assert read([second, first], 64)[0] is None


@pytest.mark.parametrize("line", ["", "null", "[]", "{}", '{"check": 1}', "[" * 100_000])
def test_what_is_no_line_is_none(line: str) -> None:
    assert intact(line, "") is None
