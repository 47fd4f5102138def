"""The folder of image statistics: the service, another user, must be able to write there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml_tasks.errors import StorageError
from ml_tasks.release.statistics_folder import give_statistics_folder


def test_the_folder_is_made_and_given_to_the_services_user(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "statistics"
    for _ in range(2):
        give_statistics_folder(folder)
        status = folder.stat()
        assert status.st_uid == 10001 or status.st_mode & 0o1777 == 0o1777


def test_a_folder_that_all_may_write_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    give_statistics_folder(tmp_path)
    assert tmp_path.stat().st_uid == os.geteuid()


def test_a_file_in_its_place_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "statistics").write_text("")
    with pytest.raises(StorageError, match="cannot be given to the service"):
        give_statistics_folder(tmp_path / "statistics")
