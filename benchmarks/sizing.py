"""docs/sizing.md: what a deployment of a given size needs, reckoned from what was measured."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.many_rows import IMAGES_OF_A_PATIENT
from benchmarks.measured_figures import (
    DOCS,
    Figures,
    largest,
    near_duplicate_seconds,
    read_figures,
)
from benchmarks.scale import rows
from benchmarks.sizing_words import INTRODUCTION, LIMITS
from ml_tasks.dataset.fingerprint import SIDE

PAGE = DOCS / "sizing.md"
NOT_YET = "not measured yet"
_HOUR, _YEAR_DAYS = 3600.0, 365
_FILM_MEGABYTES = 4096 * 3328 * 2 / 1e6  # 12 bits in two bytes, uncompressed
_PICTURE_BYTES = 128 * 128  # of a cleaned film, in the arrays that training maps
_PRINT_BYTES = SIDE * SIDE
_FORMAT = "DICOM, JPEG lossless"


@dataclass(frozen=True)
class Assumptions:
    """What nobody measured here: a programme's habits, and settings."""

    images_a_year: float = 10e6
    images_of_an_examination: float = IMAGES_OF_A_PATIENT
    working_days: float = 250
    working_hours: float = 10
    peak: float = 3.0  # times the mean of the working hours
    lossless_ratio: float = 2.5  # uncompressed / JPEG lossless
    epochs: float = 30  # training.epochs, the most
    tested_share: float = 0.30  # validation and test, by config.yaml
    night_hours: float = 8.0  # in which a day's images are scored as a batch


Table = list[Sequence[str]]


def page(figures: Figures, assumed: Assumptions) -> str:
    """The whole page as Markdown."""
    parts = [
        INTRODUCTION,
        "## What was measured\n",
        _table(("step", "1,000 images", "of", "from"), costs(figures)),
        "## From one machine to ten workers\n",
        _table(
            ("what", "one machine of 2 cores", "and a GPU box", "10 workers of 8 cores"),
            deployments(figures, assumed),
        ),
        "## A national programme\n",
        _table(("what", "arithmetic", "result"), programme(figures, assumed)),
        "## A retraining on many images\n",
        _table(
            ("what", "100,000", "1,000,000", "10,000,000", "how it grows"), many(figures, assumed)
        ),
        "## Rows in memory, as measured\n",
        _table(("step", "images", "processor", "memory", "file"), measured_rows(figures)),
        "## The stack itself\n",
        _table(("what", "figure"), stack_lines(figures)),
        LIMITS,
    ]
    return "\n".join(parts)


def costs(figures: Figures) -> Table:
    """Processor seconds of 1,000 images by stage."""
    lines: Table = [
        (
            f"clean: {name}, 13.6 megapixels",
            f"{each.value * 1000:.0f} s",
            "one core",
            _link(each.page),
        )
        for name, each in figures.clean.items()
    ]
    return [
        *lines,
        ("score a small film: imaging, model, HTTP", f"{score_seconds(figures) * 1000:.0f} s",
         "one core", _link(figures.served.page)),
        ("train, one epoch", f"{train_seconds(figures) * 1000:.0f} s", "one core",
         _link(figures.trained.page)),
        ("evaluate, beyond inference", f"{figures.evaluated.value / 10:.1f} s", "the machine",
         _link(figures.evaluated.page)),
        ("compare with 10,000 others for near-duplicates", _or_not(
            near_duplicate_seconds(figures.rows, 10_000), lambda s: f"{s / 10:.0f} s"),
         "one core", "benchmarks-rows.json"),
        ("Airflow on one machine, a whole retraining", f"{figures.overhead.value:.0f} s",
         "any number of images", _link(figures.overhead.page)),
        ("build and push a release", f"{figures.released.value:.1f} s", "any number of images",
         _link(figures.released.page)),
    ]  # fmt: skip


def score_seconds(figures: Figures) -> float:
    """One core, one small film."""
    return figures.served_cores / figures.served.value


def full_score_seconds(figures: Figures, kind: str = _FORMAT) -> float:
    """One core, one film of full size; an upper bound, since reading the small one is in it too."""
    return score_seconds(figures) + figures.clean[kind].value


def train_seconds(figures: Figures) -> float:
    """One core, one picture, one epoch."""
    return figures.trained_cores / figures.trained.value


def deployments(figures: Figures, assumed: Assumptions) -> Table:
    """Three sizes side by side, for 100,000 images of full size."""
    images = 100_000
    small, large = 2, 80

    def hours(seconds: float, cores: int) -> str:
        return _hours(images * seconds / cores)

    clean, score = figures.clean[_FORMAT].value, full_score_seconds(figures)
    train = train_seconds(figures) * (1 - assumed.tested_share)
    one_epoch = _hours(images * train / small)
    needed = images * (1 - assumed.tested_share) * assumed.epochs / (24 * _HOUR)
    return [
        (f"validate {images:,} films ({_FORMAT}), an empty cache, beyond near-duplicates",
         hours(clean, small), "the same", f"{hours(clean, 8)}: one task, on one worker"),
        ("clean them again, an empty cache", hours(clean, small), "the same", hours(clean, large)),
        ("score them as a batch", hours(score, small), "the same", hours(score, large)),
        ("train one epoch", f"{one_epoch} on the CPU",
         f"not measured; {needed:,.0f} images/s make {assumed.epochs:.0f} epochs a day",
         "as the GPU box: one training at a time"),
        ("serve, images a second", f"{small / score:.1f}", "the same", "the same: one container"),
    ]  # fmt: skip


def programme(figures: Figures, assumed: Assumptions) -> Table:
    """Ten million images a year."""
    year = assumed.images_a_year
    working = year / (assumed.working_days * assumed.working_hours * _HOUR)
    peak, day = working * assumed.peak, year / assumed.working_days
    lossless = _FILM_MEGABYTES / assumed.lossless_ratio
    score = full_score_seconds(figures)
    night = day * score / (assumed.night_hours * _HOUR)
    return [
        ("examinations a year", f"{year:,.0f} / {assumed.images_of_an_examination:g}",
         f"{year / assumed.images_of_an_examination:,.0f}"),
        ("mean over the year", f"{year:,.0f} / ({_YEAR_DAYS} × 86,400 s)",
         f"{year / (_YEAR_DAYS * 86_400):.2f} images/s"),
        ("mean of the working hours", f"{year:,.0f} / ({assumed.working_days:g} days × "
         f"{assumed.working_hours:g} h × 3,600 s)", f"{working:.2f} images/s"),
        ("peak", f"{working:.2f} × {assumed.peak:g}", f"{peak:.1f} images/s"),
        ("cores that serve the peak", f"{peak:.2f} × {score:.3f} s", f"{peak * score:.1f}"),
        ("cores that score a day's images by night", f"{day:,.0f} × {score:.3f} s / "
         f"({assumed.night_hours:g} h × 3,600 s)", f"{night:.1f}"),
        ("shared volume, read at the peak", f"{peak:.2f} × {lossless:.1f} MB",
         f"{peak * lossless:.0f} MB/s, {peak * lossless * 8 / 1000:.2f} Gbit/s"),
        ("raw films a year, uncompressed", f"{year:,.0f} × {_FILM_MEGABYTES:.1f} MB",
         f"{year * _FILM_MEGABYTES / 1e6:,.0f} TB"),
        ("raw films a year, JPEG lossless", f"{year:,.0f} × {lossless:.1f} MB",
         f"{year * lossless / 1e6:,.0f} TB"),
        ("cleaned pictures, as arrays", f"{year:,.0f} × {_PICTURE_BYTES:,} B",
         f"{year * _PICTURE_BYTES / 1e9:,.0f} GB"),
        ("releases in the registry, one a week", f"52 × {figures.release_megabytes.value:g} MB",
         f"{52 * figures.release_megabytes.value / 1000:.1f} GB a year"),
        ("Airflow's rows: a nightly batch of 10 shards, a retraining a week",
         f"{_YEAR_DAYS} × (10 + 2) + 52 × 22",
         f"{_YEAR_DAYS * 12 + 52 * 22:,} task instances a year"),
    ]  # fmt: skip


def many(figures: Figures, assumed: Assumptions) -> Table:
    """What one retraining on so many images costs."""
    sizes = (1e5, 1e6, 1e7)
    learn = 1 - assumed.tested_share

    def line(what: str, value: Callable[[float], str], grows: str) -> Sequence[str]:
        return (what, *(value(images) for images in sizes), grows)

    def step(name: str, key: str) -> Callable[[float], str]:
        found = largest(figures.rows, name)
        if found is None:
            return lambda _: NOT_YET
        return lambda images: _gigabytes(found[key] / found["images"] * images * 1e6)

    clean = figures.clean[_FORMAT].value
    train = train_seconds(figures)
    return [
        line(f"examine every film once ({_FORMAT}), core hours",
             lambda n: _hours(n * clean), "with N; kept in the cache"),
        line("near-duplicates, core hours", lambda n: _or_not(
            near_duplicate_seconds(figures.rows, n), _hours), "with N²"),
        line("their fingerprints in memory, at least",
             lambda n: _gigabytes(n * _PRINT_BYTES), "with N"),
        line("read manifest.csv, memory", step("read manifest.csv", "megabytes"), "with N"),
        line("plan, memory without the fingerprints",
             step("plan: manifest to plan.csv", "megabytes"), "with N"),
        line("manifest.csv", step("write manifest.csv", "file_megabytes"), "with N"),
        line("split ledger", step("ledger: first commit", "file_megabytes"),
             "with N; never shrinks"),
        line("notes on seen files", step("notes on seen files", "file_megabytes"), "with N"),
        line("cleaned pictures, arrays on the disk",
             lambda n: _gigabytes(n * _PICTURE_BYTES), "with N"),
        line(f"train {assumed.epochs:.0f} epochs on the CPU, core hours",
             lambda n: _hours(n * learn * assumed.epochs * train), "with N"),
        line("images/s that train them in a day",
             lambda n: f"{n * learn * assumed.epochs / 86_400:,.0f}", "with N"),
        line("evaluate: raw validation and test films through the model, core hours",
             lambda n: _hours(n * assumed.tested_share * full_score_seconds(figures)), "with N"),
        line("evaluate, beyond inference", lambda n: _hours(
            n * assumed.tested_share / 2 / 1e4 * figures.evaluated.value), "with N, about"),
    ]  # fmt: skip


def measured_rows(figures: Figures) -> Table:
    """The made-up rows as they were measured."""
    if not figures.rows:
        return [(NOT_YET, "`python -m benchmarks.many_rows --write`", "", "", "")]
    return [
        (
            row["step"],
            f"{row['images']:,}",
            f"{row['seconds']:,.1f} s",
            f"{row['megabytes']:,.0f} MB",
            f"{row['file_megabytes']:,.1f} MB" if row["file_megabytes"] else "",
        )
        for row in figures.rows
    ]


def stack_lines(figures: Figures) -> Table:
    """What benchmarks-scale.json says of the stack."""
    if figures.stack is None:
        names = ("two workers against one", "delay between tasks", "the idle stack")
        return [(name, NOT_YET) for name in names]
    found = [row for row in rows(figures.stack) if not row.what.startswith("Of this ")]
    lines: Table = [
        (row.what, f"{row.shown_figure} ({row.ours}{'; ' + row.other if row.other else ''})")
        for row in found
    ]
    first, films = figures.stack["first_pass"], figures.stack["films"]
    lines += [
        (
            f"{name} of {films} phantoms, first pass, 1,000 images",
            f"{first[name] / films * 1000:.0f} s",
        )
        for name in first
    ]
    return lines


def write_page() -> None:
    """Makes the page anew from the figures as they stand."""
    PAGE.write_text(page(read_figures(), Assumptions()))


def _table(heads: Sequence[str], lines: Table) -> str:
    rows: list[Sequence[Any]] = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows) + "\n"


def _link(name: str) -> str:
    return f"[{name}]({name})"


def _hours(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / _HOUR:,.1f} h" if seconds < 100 * _HOUR else f"{seconds / _HOUR:,.0f} h"


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def _or_not(value: float | None, shown: Callable[[float], str]) -> str:
    return NOT_YET if value is None else shown(value)


if __name__ == "__main__":
    write_page()
    sys.exit(0)
