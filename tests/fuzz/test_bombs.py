"""Each known way to ask for gigabytes or minutes by a small file is refused, or read at its price.

The harness holds every case to 512 MB and two seconds of a processor.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.bombs import BOMBS, FOLDER
from tests.fuzz.harness import run


def test_no_bomb_takes_more_than_its_file_is_worth(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    for number, (make, _) in enumerate(BOMBS.values()):
        (tmp_path / str(number)).write_bytes(make())
    monkeypatch.setenv(FOLDER, str(tmp_path))
    found = run("tests.fuzz.bombs:read_bomb", len(BOMBS), workers=1)
    record_property("slowest bomb, CPU seconds", round(found.slowest, 2))
    record_property("largest bomb, MB", round(found.largest))
    names = list(BOMBS)
    ended = {names[int(case)]: how for case, how in found.results}
    assert found.faults == [], "\n".join([*names, *found.faults])
    assert ended == {name: how for name, (_, how) in BOMBS.items()}
