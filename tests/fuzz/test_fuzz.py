"""Files damaged by thousands of structure-aware changes are read or refused, and nothing else."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from tests.counts import cases
from tests.fuzz.corpus import corpus
from tests.fuzz.enlargements import enlarged
from tests.fuzz.harness import run
from tests.fuzz.mutations import segments
from tests.fuzz.targets import damaged

KINDS = ("PNG", "JPEG", "TIFF", "PGM", "DICOM")


def test_no_damaged_file_ends_a_process_or_takes_too_much(
    record_property: Callable[[str, object], None],
) -> None:
    count = cases(2000, 100_000)
    found = run("tests.fuzz.targets:preprocess_damaged", count)
    record_property("slowest case, CPU seconds", round(found.slowest, 2))
    record_property("largest case, MB", round(found.largest))
    for (kind, how), number in sorted(found.results.items()):
        record_property(f"{kind} {how}", number)
    assert found.faults == [], "\n".join(found.faults)
    assert found.cases == count
    for kind in KINDS:  # both happen, so the damage is neither none nor total
        read = found.results[kind, "read"]
        refused = sum(n for (name, how), n in found.results.items() if name == kind) - read
        assert read > count / 200 and refused > count / 200, (kind, read, refused)


def test_the_harness_notices_what_should_never_be() -> None:
    found = run("tests.fuzz.targets:wrong", 60)
    noticed = {int(fault.split()[1]): fault for fault in found.faults}
    assert set(noticed) == {3, 10, 21, 34, 55}, found.faults
    assert "ended its process" in noticed[3]
    assert "ValueError" in noticed[10]
    assert "MB" in noticed[21]
    assert found.cases == 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_cut_where_its_format_has_parts(kind: str) -> None:
    for data in (data for name, data in corpus() if name == kind):
        parts = segments(kind, data)
        assert len(parts) >= 3
        assert b"".join(parts) == data


def test_enlargements_ask_for_more_than_the_file_holds() -> None:
    """Else they would be one more way to flip bits: sizes inside DICOM files stayed."""
    random = np.random.default_rng(0)
    for kind in KINDS:
        files = [data for name, data in corpus() if name == kind]
        made = [enlarged(kind, files[number % len(files)], random) for number in range(200)]
        assert sum(data not in files for data in made) > 60, kind
    sides = [
        struct.unpack_from(">II", data, data.find(b"\xff\x4f\xff\x51") + 8) for data in made
        if b"\xff\x4f\xff\x51" in data
    ]  # fmt: skip
    assert any(width * height > 50e6 for width, height in sides)
    assert max(len(data) for data in made) > 3_000_000  # runs and fragments


def test_a_case_is_the_same_every_time() -> None:
    assert [damaged(case) for case in range(80)] == [damaged(case) for case in range(80)]
    assert len({data for _, data in map(damaged, range(80))}) > 60
