"""What the pages say of a toy project, as text."""

from __future__ import annotations

from ml_tasks.pages.answer import Answer
from ml_tasks.pages.models_page import models
from ml_tasks.pages.site import Site
from ml_tasks.pages.web import PAGES, answered
from tests.pages.toy_project import Project


def page(project: Project) -> str:
    return models(Site(project.config, {})).text


def everywhere(project: Project, run_id: str) -> list[str]:
    """The pages that tell of a run."""
    named = ("/runs/{run_id}", "/runs/{run_id}/why")
    return [page(project), *(shown(project, path, run_id=run_id).text for path in named)]


def shown(project: Project, page: str, /, **named: str) -> Answer:
    return answered(PAGES[page], {"MAMMO_CONFIG": str(project.file)}, "/mammography", **named)
