"""The revision of the source: the commit, marked where files differ from it, or none at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import ml_tasks
from ml_tasks.release.lineage import code_sha256, source_revision


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=toy", "-c", "user.email=toy@localhost"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in a repository with one commit."""
    folder = tmp_path / "checkout" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    git(folder.parent, "init", "-q")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-q", "-m", "first")
    return folder


def test_the_commit_is_told_and_marked_where_files_differ(package: Path) -> None:
    revision = git(package, "rev-parse", "HEAD")
    assert source_revision(package) == revision
    (package.parent / "new.py").write_text("")
    assert source_revision(package) == f"{revision}-dirty"


@pytest.mark.parametrize("name", ["model.py", "page/page.js", "page/page.css"])
def test_the_page_of_the_service_is_code_too(
    package: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It ships in the image: a mended page would else be skipped as unchanged for ever."""
    monkeypatch.setattr(ml_tasks, "__file__", str(package / "__init__.py"))
    (package / "page").mkdir()
    (package / "notes.swp").write_text("an editor's")
    before = code_sha256()
    (package / "notes.swp").write_text("again")
    assert code_sha256() == before
    (package / name).write_text("")
    assert code_sha256() != before


def test_where_git_is_told_to_look_elsewhere_it_does_not(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook sets GIT_DIR: the revision of whatever repository it runs for would be told."""
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert source_revision(package) == git_free(package)


def git_free(package: Path) -> str:
    head = (package.parent / ".git" / "HEAD").read_text().strip().removeprefix("ref: ")
    return (package.parent / ".git" / head).read_text().strip()


def test_a_copy_that_git_does_not_hold_has_none(package: Path, tmp_path: Path) -> None:
    installed = package.parent / "site-packages"
    installed.mkdir()
    (installed / "__init__.py").write_text("")
    assert source_revision(installed) is None
    (tmp_path / "bare").mkdir()
    assert source_revision(tmp_path / "bare") is None


def test_without_git_there_is_none(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(package))
    assert source_revision(package) is None
