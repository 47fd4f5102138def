"""What an image lists of itself: Debian's status file or files, and this very environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_tasks.serving.packages import installed

_STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc
Version: 2.36-9
Description: GNU C Library
 with a text: that looks like a field

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: bash
Status: install ok installed
Architecture: amd64
Source: bash (5.2.15-2)
Version: 5.2.15-2+b13
"""


def debian(root: Path) -> list[dict[str, Any]]:
    found: Any = installed(root)["debian_packages"]
    return list(found)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    return tmp_path


def test_what_is_installed_is_listed_and_what_was_removed_is_not(root: Path) -> None:
    (root / "var/lib/dpkg/status").write_text(_STATUS)
    assert debian(root) == [
        {
            "name": "bash",
            "version": "5.2.15-2+b13",
            "architecture": "amd64",
            "source": "bash (5.2.15-2)",
        },
        {"name": "libc6", "version": "2.36-9", "architecture": "amd64", "source": "glibc"},
    ]


def test_a_slimmed_root_keeps_one_file_for_each_package(root: Path) -> None:
    """They tell no state: what has a file there is there."""
    folder = root / "var/lib/dpkg/status.d"
    folder.mkdir()
    (folder / "tzdata").write_text("Package: tzdata\nVersion: 2026a\nArchitecture: all\n")
    (folder / "tzdata.md5sums").write_text("abc  usr/share/zoneinfo/UTC\n")
    assert [package["name"] for package in debian(root)] == ["tzdata"]


def test_a_root_without_a_package_manager_lists_none(tmp_path: Path) -> None:
    found = installed(tmp_path)
    assert (found["debian_packages"], found["system"]) == ([], {})


def test_the_system_is_what_it_says_it_is(root: Path) -> None:
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text('NAME="Debian"\nID=debian\nVERSION_ID="12"\n\n')
    assert installed(root)["system"] == {"id": "debian", "version_id": "12"}


def test_the_command_prints_one_line_of_json() -> None:
    command = [sys.executable, "-m", "ml_tasks.serving.packages"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    found = json.loads(done.stdout)
    names = [package["name"] for package in found["python_packages"]]
    assert "numpy" in names and names == sorted(names)
    assert all(package["version"] for package in found["python_packages"])
