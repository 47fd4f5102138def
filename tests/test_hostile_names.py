"""A raw folder full of hostile names and links goes through validation and cleaning."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from ml_tasks.config import Config, DataConfig
from ml_tasks.dataset.manifest import IndexRow, ManifestRow, read_rows
from ml_tasks.preprocessing import preprocess
from ml_tasks.release.champion import note_champion
from ml_tasks.run_paths import RunPaths
from ml_tasks.validation import validate_data
from tests.builders import NO_CHAMPION, encoded, film, toy_config, write_raw

LONG = "n" * 251
NAMES = (
    "new\nline \r tab\t.png",
    "ü ñ 日本 😀 .. a..png",
    "..x/b.png",
    "-rf *.png",
    "<script>alert(1)<|script>.png",
    "\"'; drop.png",
    "back\\slash.png",
    "a.png/a.png/inside.png",  # folders that have the name of a finished picture
    "a.jpg",
    f"{LONG}.png",
    f"{LONG}.jpg",
)
NO_FILES = ("loop.png", "ring.png", "gnir.png", "out.png", "nothing.png", "fifo.png", "up.png")


def spoil(config: Config) -> None:
    raw = config.paths.raw / "Positive"
    for number, name in enumerate(NAMES, start=100):
        path = raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = "JPEG" if path.suffix == ".jpg" else "PNG"
        path.write_bytes(encoded(film(number), kind))
    secret = config.paths.raw.parent / "secret.png"
    secret.write_bytes(encoded(film(99)))
    for name, target in (
        ("loop.png", "loop.png"),
        ("ring.png", "gnir.png"),
        ("gnir.png", "ring.png"),
        ("out.png", secret),
        ("nothing.png", "nowhere.png"),
        ("up.png", "../.."),
    ):
        (raw / name).symlink_to(target)
    os.mkfifo(raw / "fifo.png")


def test_hostile_names_are_used_and_what_is_no_file_is_set_aside(tmp_path: Path) -> None:
    config = toy_config(
        tmp_path, data=DataConfig(min_patients_per_class=3, max_quarantine_share=0.5)
    )
    write_raw(config.paths.raw, patients=24, metadata=False)
    spoil(config)
    run = RunPaths(config.paths.runs, "r")
    note_champion(run, NO_CHAMPION)
    record = validate_data(run, config)
    preprocess(run, config)
    rows = read_rows(run.stage("validate_data") / "manifest.csv", ManifestRow)
    assert {row.path for row in rows if not row.usable} == {f"Positive/{name}" for name in NO_FILES}
    assert all(
        "no plain file, or a link to nothing, to itself" in r.reason for r in rows if r.reason
    )
    assert (record.images, record.quarantined) == (24 + len(NAMES), len(NO_FILES))
    index = read_rows(run.stage("preprocess") / "index.csv", IndexRow)
    assert {f"Positive/{name}" for name in NAMES} <= {row.raw for row in index}
    folder = run.stage("preprocess").resolve()
    for row in index:
        picture = folder / row.file
        assert picture.resolve().is_relative_to(folder / row.split.value / row.label)
        pixels = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
        assert pixels is not None and pixels.shape == (128, 128)
    assert len({row.file for row in index}) == len(index)
    pages = [*run.root.rglob("*.html")]
    assert len(pages) > 5
    assert not [page for page in pages if "<script>alert" in page.read_text()]
