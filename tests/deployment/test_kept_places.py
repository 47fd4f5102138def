"""What config.yaml places where no backup looks is named; nothing else of it matters."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_tasks.deployment.kept_places import misplaced

FOLDERS = ("releases", "runs", "splits")


def found(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "config.yaml").write_text(text)
    return list(misplaced(tmp_path / "config.yaml", FOLDERS))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "paths: {runs: runs, splits: ./splits/, raw: /films}",
        "paths:\nrelease:\n",
        "release: {signing_key: releases/unit.pem}",
        "release: {signing_key: splits/../releases/keys/unit.pem}",
        # A file that is gone, and a setting of another revision: no reason to go without a backup.
        "model: {weights: gone.h5}\ntomorrow: {is: new}",
    ],
)
def test_what_lies_in_the_folders_of_a_backup_is_right(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


@pytest.mark.parametrize("place", ["other/splits", "../splits", "splits/here"])
def test_a_folder_that_lies_elsewhere_is_named(tmp_path: Path, place: str) -> None:
    (line,) = found(tmp_path, f"paths: {{splits: {place}}}")
    assert line.startswith("paths.splits is /") and line.endswith(", and must be splits")


@pytest.mark.parametrize(
    "key",
    [
        "unit.pem",
        "releases/../unit.pem",
        "runs/unit.pem",  # of the runs only those that became an image are taken
        "releases/.unit.pem",  # nothing hidden is
        "releases/.keys/unit.pem",
        "/run/secrets/unit.pem",
    ],
)
def test_a_key_that_no_backup_takes_is_named(tmp_path: Path, key: str) -> None:
    (line,) = found(tmp_path, f"release: {{signing_key: {key}}}")
    assert line.startswith("release.signing_key is /")
    assert line.endswith("; move it to releases/unit.pem and name that")


@pytest.mark.parametrize(
    ("text", "said"),
    [("paths: [\n", "is no valid YAML"), ("- a list", "sections"), ("paths: 3", "sections")],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"config\.yaml .*{said}"):
        found(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"config\.yaml cannot be read: No such file"):
        list(misplaced(tmp_path / "config.yaml", FOLDERS))
