"""The stage announce: flag, snapshot and event in an order in which nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ml_tasks import cli
from ml_tasks.announce import announce, take_flag
from ml_tasks.config import Config, save_config
from ml_tasks.dataset import announcement
from ml_tasks.dataset.announcement import read_snapshot
from ml_tasks.dataset.raw_files import READY
from ml_tasks.errors import StageSkipped
from tests.builders import toy_config, write_raw


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(announcement, "SETTLE_SECONDS", 0.0)
    config = toy_config(tmp_path)
    config = config.model_copy(
        update={"paths": config.paths.model_copy(update={"snapshots": tmp_path / "snapshots"})}
    )
    write_raw(config.paths.raw, patients=6)
    return config


def flags(config: Config) -> list[str]:
    return sorted(path.name for path in config.paths.raw.glob("_*"))


def test_without_a_flag_nothing_is_announced(config: Config) -> None:
    with pytest.raises(StageSkipped, match=f"no new data: there is no {READY} in"):
        announce(config)
    assert not config.paths.snapshots.exists()


def test_a_flag_announces_the_raw_folder_and_is_taken_afterwards(config: Config) -> None:
    (config.paths.raw / READY).touch()
    made = announce(config)
    assert flags(config) == [READY], "it must stand until the event has been made"
    assert made.data_dir == str(config.paths.raw)
    assert made.images == len(list(config.paths.raw.glob("*/*.png")))
    assert read_snapshot(Path(made.snapshot)).sha256 == made.snapshot_sha256
    assert set(made.extra()) == {"data_dir", "images", "snapshot", "snapshot_sha256"}
    assert take_flag(made)
    (name,) = flags(config)
    assert name.startswith("_TAKEN-")


def test_killed_before_the_flag_was_taken_it_announces_the_same_again(config: Config) -> None:
    (config.paths.raw / READY).touch()
    assert announce(config) == announce(config)


def test_a_flag_that_was_put_there_anew_is_left_for_the_next_look(config: Config) -> None:
    """Its data came after the listing: taking it away would lose them."""
    (config.paths.raw / READY).touch()
    made = announce(config)
    (config.paths.raw / READY).unlink()
    (config.paths.raw / READY).write_text("the second delivery")
    assert not take_flag(made)
    assert flags(config) == [READY]
    assert take_flag(announce(config))


def test_only_the_last_taken_flag_stays(config: Config) -> None:
    (config.paths.raw / "_TAKEN-20200101T000000Z").touch()
    (config.paths.raw / READY).touch()
    take_flag(announce(config))
    assert len(flags(config)) == 1 and flags(config) != ["_TAKEN-20200101T000000Z"]


def test_a_folder_that_is_named_needs_no_flag(config: Config, tmp_path: Path) -> None:
    made = announce(config, write_raw(tmp_path / "other", patients=6))
    assert made.flag is None and not take_flag(made)
    assert made.data_dir == str(tmp_path / "other")


def test_the_command_says_how_to_go_on(config: Config, tmp_path: Path, capsys: Any) -> None:
    save_config(config, tmp_path / "config.yaml")
    words = ["announce", "--data", str(config.paths.raw), "--config", str(tmp_path / "config.yaml")]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    extra = json.loads(said.split("\n\n")[0])
    assert f"--set data.snapshot='{extra['snapshot']}'" in said
