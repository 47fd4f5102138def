"""Which lines of the service count: every one once, whatever else lies in the files."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ml_tasks.errors import DriftError
from ml_tasks.monitoring import service_log
from ml_tasks.monitoring.service_log import Seen, Window, read_statistics
from ml_tasks.serving.json_lines import JsonLines
from ml_tasks.serving.logbook import _handler
from ml_tasks.serving.settings import Settings
from tests.counts import cases
from tests.monitoring.service_images import NOW, lines, pictures, write_lines

VERSION = "20260101T000000Z-abcdef123456"
WINDOW = Window(VERSION, NOW - timedelta(days=7), NOW)


def read(folder: Path, window: Window = WINDOW) -> Seen:
    return read_statistics(folder, window)


def test_a_folder_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "none").line_counts().files == 0


def test_rotated_files_count_and_others_do_not(tmp_path: Path) -> None:
    text = lines(VERSION, 30)
    write_lines(tmp_path, text[:10])
    write_lines(tmp_path, text[10:20], "images.jsonl.1")
    write_lines(tmp_path, text[20:], "images.jsonl.12")
    write_lines(tmp_path, text, "notes.txt")
    write_lines(tmp_path, text, "images.jsonl.bak")
    (tmp_path / "images.jsonl.2").mkdir()
    counts = read(tmp_path).line_counts()
    assert (counts.files, counts.images, counts.compared) == (3, 30, 30)


def test_the_same_picture_again_is_no_other_image(tmp_path: Path) -> None:
    """One picture that is tried a hundred times would else be drift, and start a retraining."""
    good = lines(VERSION, 3)
    later = json.dumps({**json.loads(good[0]), "time": (NOW - timedelta(hours=1)).isoformat()})
    write_lines(tmp_path, [*good, *[later] * 100])
    write_lines(tmp_path, good, "copy.jsonl")
    counts = read(tmp_path).line_counts()
    assert (counts.images, counts.compared, counts.repeated) == (3, 3, 103)


def test_statistics_that_cannot_be_read_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "images.jsonl"
    path.symlink_to(path)
    with pytest.raises(DriftError, match=r"images\.jsonl\); give this user the right to read"):
        read(tmp_path)


def test_a_file_under_two_names_counts_once(tmp_path: Path) -> None:
    """What a rotation between two openings looks like."""
    path = write_lines(tmp_path, lines(VERSION, 10))
    (tmp_path / "images.jsonl.1").hardlink_to(path)
    assert read(tmp_path).images == 10


def test_every_other_line_is_left_out_and_counted(tmp_path: Path) -> None:
    good = lines(VERSION, 5)
    entry = json.loads(good[0])
    picture = entry["picture"]

    def changed(**fields: object) -> str:
        return json.dumps({**entry, **fields})

    path = write_lines(
        tmp_path,
        [
            *good,
            *lines("another", 2),
            changed(time=(NOW - timedelta(days=8)).isoformat()),
            changed(time=(NOW + timedelta(seconds=1)).isoformat()),
            changed(probability=float("nan")),
            changed(probability=10**400),
            changed(probability=1.5),
            changed(probability=True),
            changed(probability=None),
            changed(picture={**picture, "mean": float("inf")}),
            changed(picture={**picture, "mean": "110"}),
            changed(picture={name: picture[name] for name in list(picture)[1:]}),
            changed(picture=[1, 2]),
            changed(time="yesterday"),
            changed(time=None),
            changed(event="request"),
            "",
            "no JSON",
            "[" * 3000,
            "[1]",
            "\ufffd",
            "x" * 250_000,
        ],
    )
    with path.open("ab") as stream:
        stream.write(b"\xff\xfe\n" + good[0].encode()[:100])
    counts = read(tmp_path).line_counts()
    assert counts.images == 5
    assert (counts.other_version, counts.earlier, counts.later) == (2, 1, 1)
    assert (counts.unusable, counts.torn) == (11, 1)
    assert counts.foreign >= 7


def test_a_line_that_is_being_written_counts_once_it_is_complete(tmp_path: Path) -> None:
    path = write_lines(tmp_path, lines(VERSION, 3))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert (read(tmp_path).images, read(tmp_path).line_counts().torn) == (2, 1)
    path.write_bytes(whole)
    assert (read(tmp_path).images, read(tmp_path).line_counts().torn) == (3, 0)


def test_of_too_many_images_a_fair_sample_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ones alone would tell of the first day alone."""
    monkeypatch.setattr(service_log, "MOST", 200)
    text = lines(VERSION, 1000) + lines(VERSION, 1000, moved={"mean": 100.0})
    write_lines(tmp_path, text)
    seen = read(tmp_path)
    assert (seen.images, len(seen.figures), len(seen.probabilities)) == (2000, 200, 200)
    assert 60 < sum(figures[1] > 500 for figures in seen.figures) < 140
    assert seen.quality["unlike_training"] == 200
    assert read(tmp_path).figures == seen.figures, "a re-run must find the same"


def test_while_the_service_rotates_no_line_is_lost_or_doubled(tmp_path: Path) -> None:
    """The service's own handler writes meanwhile; what was there before is seen each time."""
    settings = Settings(
        statistics=str(tmp_path / "images.jsonl"), statistics_bytes=20_000, statistics_files=1000
    )
    handler = _handler(settings)
    handler.setFormatter(JsonLines())
    figures = pictures(1, np.random.default_rng(1))[0]
    written = 0

    def write(number: int) -> None:
        picture = {**figures, "mean": float(number)}
        fields = {"model_version": VERSION, "probability": 0.5, "picture": picture}
        record = logging.LogRecord("x", logging.INFO, "", 0, "statistics", (), None)
        record.fields = fields
        handler.emit(record)

    def keep_writing() -> None:
        nonlocal written
        while not over.is_set() and written < 9_000:
            write(written)
            written += 1

    over = threading.Event()
    writer = threading.Thread(target=keep_writing)
    for _ in range(20):
        write(written)
        written += 1
    writer.start()
    try:
        while written < cases(2_000, 8_000):
            before = written
            until = datetime.now(UTC) + timedelta(days=1)
            seen = read(tmp_path, Window(VERSION, NOW - timedelta(days=9999), until))
            numbers = [int(each[1]) for each in seen.figures]
            assert len(set(numbers)) == len(numbers), "doubled"
            assert set(range(before)) <= set(numbers), "lost"
    finally:
        over.set()
        writer.join()
        handler.close()
