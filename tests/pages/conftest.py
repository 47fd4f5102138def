"""A toy project for the tests of the pages, which each may damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.pages.toy_project import Project, make_project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Project:
    """A copy that the test may damage."""
    root = tmp_path / "project"
    shutil.copytree(made.root, root)
    text = made.file.read_text().replace(str(made.root), str(root))
    (root / "config.yaml").write_text(text)
    below = {name: root / name for name in type(made.config.paths).model_fields}
    paths = made.config.paths.model_copy(update=below)
    config = made.config.model_copy(update={"paths": paths})
    return Project(root, root / "config.yaml", config, made.versions)
