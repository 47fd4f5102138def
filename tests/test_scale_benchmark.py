"""What the benchmark of the stack and the sizing page make of given figures; no stack is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.delays import TimedTask, delays, percentiles, wall_seconds, work_seconds
from benchmarks.idle import Reading, shares
from benchmarks.many_rows import NEAR_DUPLICATES, STEPS, measured
from benchmarks.measured_figures import Figures, near_duplicate_seconds, read_figures
from benchmarks.scale import rows
from benchmarks.sizing import NOT_YET, Assumptions, full_score_seconds, page, programme
from benchmarks.table import PROJECT

BEGIN = datetime(2026, 11, 29, tzinfo=UTC)


def moment(second: float) -> datetime:
    return BEGIN + timedelta(seconds=second)


def task(
    name: str, queued: float, start: float, end: float, shard: int = -1, host: str = "one"
) -> TimedTask:
    return TimedTask(
        task_id=name,
        map_index=shard,
        state="success",
        hostname=host,
        queued_when=moment(queued),
        start_date=moment(start),
        end_date=moment(end),
    )


RUN = [
    task("plan", 0.2, 0.5, 10),
    task("clean", 10.2, 10.6, 20, shard=0),
    task("clean", 10.2, 10.7, 25, shard=1, host="two"),
    task("clean", 10.2, 20.4, 31, shard=2),
    task("assemble", 31.5, 32.0, 40),
]
UPSTREAM = {"clean": {"plan"}, "assemble": {"clean"}}


def test_a_delay_is_from_the_end_of_all_that_a_task_waits_for_to_its_start() -> None:
    """The first task has none; a shard that waits for its worker counts from the one before."""
    found = delays(RUN, UPSTREAM)
    assert [each.task for each in found] == ["clean", "clean", "clean", "assemble"]
    assert [each.until_queued for each in found] == pytest.approx([0.2, 0.2, 0.0, 0.5])
    assert [each.until_started for each in found] == pytest.approx([0.6, 0.7, 0.4, 1.0])


def test_a_task_that_did_not_succeed_has_no_delay() -> None:
    skipped = RUN[-1].model_copy(update={"state": "skipped"})
    assert [each.task for each in delays([*RUN[:-1], skipped], UPSTREAM)] == ["clean"] * 3


def test_the_wall_clock_runs_to_the_last_shard_and_work_is_each_shards_own() -> None:
    assert wall_seconds(RUN, "clean", after="plan") == 21
    assert work_seconds(RUN, "clean") == [
        pytest.approx(9.4),
        pytest.approx(14.3),
        pytest.approx(10.6),
    ]


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentiles([0.1, 0.2, 0.3, 5.0]) == (0.3, 5.0)
    assert percentiles([1.0]) == (1.0, 1.0)


def test_idling_is_the_processors_time_over_the_clock_and_new_containers_do_not_count() -> None:
    before = {"a": Reading("worker", 0, 5.0, 90), "b": Reading("worker", 1, 7.0, 80)}
    after = {
        "a": Reading("worker", 60, 8.0, 100),
        "b": Reading("worker", 61, 10.0, 100),
        "c": Reading("redis", 61, 10.0, 100),
    }
    (found,) = shares(before, after)
    assert (found.service, found.containers, found.megabytes) == ("worker", 2, 200)
    assert found.core_share == pytest.approx(0.1)


def facts(two_workers: float, delay: float) -> dict[str, object]:
    rounds = [
        {"workers": 1, "wall": 42.0, "shards": [20.0, 21.0]},
        {"workers": 2, "wall": two_workers, "shards": [20.0, 20.5]},
    ]
    return {
        "films": 1600,
        "cleaning": rounds,
        "scoring": rounds,
        "delays": [
            {"task": "train", "until_queued": delay / 2, "until_started": delay},
            {"task": "gate", "until_queued": 0.1, "until_started": 0.2},
        ],
        "idle": [
            {"service": "worker", "containers": 2, "core_share": 0.02, "megabytes": 900.0},
            {"service": "redis", "containers": 1, "core_share": 0.01, "megabytes": 100.0},
        ],
        "idle_seconds": 60.0,
        "first_pass": {"validate_data": 32.0},
    }


@pytest.mark.parametrize(("two_workers", "delay", "met"), [(21.0, 0.9, True), (28.0, 1.1, False)])
def test_speed_up_and_delay_are_held_to_their_goals(
    two_workers: float, delay: float, met: bool
) -> None:
    found = {row.what: row for row in rows(facts(two_workers, delay))}
    speed = found["Cleaning of 1600 films: one worker / two"]
    assert speed.figure == pytest.approx(42 / two_workers)
    late = found["Delay between tasks until the next one's start, p95, in seconds"]
    assert late.figure == delay
    assert (speed.met, late.met) == (met, met)
    fixed = found["Cleaning: fixed costs of a round, in seconds"]
    assert fixed.other == "one worker 1.00 s"
    assert fixed.figure == pytest.approx(two_workers - 20.5)
    assert found["The idle stack over 60 s, share of one core"].ours == "3.0% of a core, 1.0 GB"


def test_every_pair_costs_and_every_picture_does() -> None:
    """2 ms a picture and 1 µs a pair go out of two measurements, and into a million pictures."""
    found = [
        {"step": NEAR_DUPLICATES, "images": n, "seconds": 2e-3 * n + 1e-6 * n * n}
        for n in (2_000, 4_000)
    ]
    assert near_duplicate_seconds(found, 1e6) == pytest.approx(2e3 + 1e6)
    assert near_duplicate_seconds(found[:1], 1e6) is None


def test_every_step_works_on_the_rows_that_the_one_before_left(tmp_path: Path) -> None:
    left = {name: step(40, tmp_path) for name, step in STEPS.items()}
    kept = {name for name, file in left.items() if file.exists()}
    assert kept == {name for name in STEPS if "read" not in name and "open" not in name}


def test_a_step_is_measured_in_a_process_of_its_own() -> None:
    (found,) = measured((), (20,))
    assert (found.step, found.images) == (NEAR_DUPLICATES, 20)
    assert found.seconds > 0


@pytest.fixture
def figures() -> Figures:
    return read_figures()


def test_the_sizing_page_takes_its_figures_from_the_benchmarks_pages(figures: Figures) -> None:
    """A row that is renamed there would leave a hole here."""
    assert 0.005 < figures.clean["JPEG"].value < 1
    assert full_score_seconds(figures) > figures.clean["DICOM, JPEG lossless"].value
    assert figures.served_cores >= 1


def test_a_renamed_row_is_told_by_name(tmp_path: Path) -> None:
    for file in (PROJECT / "docs").glob("benchmarks*.md"):
        (tmp_path / file.name).write_text(file.read_text().replace("| JPEG: ours", "| A JPEG"))
    with pytest.raises(ValueError, match=r"no row that begins with 'JPEG: ours"):
        read_figures(tmp_path)


def test_a_programmes_rates_follow_from_its_images(figures: Figures) -> None:
    lines = {line[0]: line[2] for line in programme(figures, Assumptions(working_hours=8, peak=2))}
    assert lines["mean of the working hours"] == "1.39 images/s"
    assert lines["peak"] == "2.8 images/s"
    assert lines["examinations a year"] == "2,500,000"
    assert lines["raw films a year, uncompressed"] == "273 TB"


def test_what_was_not_measured_is_said(figures: Figures) -> None:
    bare = Figures(**{**vars(figures), "rows": (), "stack": None})
    assert page(bare, Assumptions()).count(NOT_YET) > 5
    whole = Figures(**{**vars(figures), "stack": facts(21.0, 0.9)})
    assert "Cleaning of 1600 films: one worker / two" in page(whole, Assumptions())


def test_the_sizing_page_is_the_one_that_the_figures_give(figures: Figures) -> None:
    """Who writes a benchmark's page anew writes this one with it: python -m benchmarks.sizing."""
    assert (PROJECT / "docs" / "sizing.md").read_text() == page(figures, Assumptions())
