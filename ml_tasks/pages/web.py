"""The pages by name: a request's settings in, an answer out, whatever state the files are in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from ml_tasks.config import CONFIG_VARIABLE, Config, load_config
from ml_tasks.config_release import registry_of_this_place
from ml_tasks.pages import result_lists, tensorboard
from ml_tasks.pages.answer import Answer
from ml_tasks.pages.audit_page import audit
from ml_tasks.pages.frame import SCRIPT, told
from ml_tasks.pages.models_page import models
from ml_tasks.pages.reading import DAMAGED, found, is_there, run_in
from ml_tasks.pages.release_page import FILL_IN, release, rollback
from ml_tasks.pages.run_page import contact_sheets, run, why
from ml_tasks.pages.served_files import batch_file, drift_file, release_file, run_file
from ml_tasks.pages.site import PREFIX, RETRAINING, Site
from ml_tasks.records import ReleaseRecord

log = logging.getLogger(__name__)

_JAVASCRIPT = "text/javascript; charset=utf-8"
# Where a run of another DAG shows what it made.
_OF_DAGS = {
    "mammography_batch_scoring": "scoring",
    "mammography_drift": "drift",
    "mammography_rollback": "models",
    "mammography_deployment": "models",
    "mammography_housekeeping": "audit",
    "mammography_new_data": "models",
}


def of_task(task_id: str, run_id: str) -> tuple[str, ...] | None:
    """The steps to the page of what a task of the retraining made; None: it has none of its own."""
    run = ("runs", run_id)
    pages = {
        "validate_data": (*run, "files", "validate_data", "report.html"),
        "preprocess.plan": (*run, "files", "plan_cleaning", "leakage.html"),
        "preprocess.assemble": (*run, "contact-sheets"),
        "train": (*run, "curves"),
        "evaluate": (*run, "files", "evaluate", "report.html"),
        "gate": (*run, "why"),
        "approve": (*run, "why"),
        "push_model": (*run, "release"),
    }
    return pages.get(task_id)


def of_run(site: Site, dag_id: str, run_id: str, task_id: str = "") -> Answer:
    """Leads from a run or a task in Airflow's page to what it made."""
    if dag_id in _OF_DAGS:
        return Answer(location=site.to(_OF_DAGS[dag_id]))
    if dag_id != RETRAINING and not is_there(run_in(site.config.paths.runs, run_id)):
        return told(site, "Nothing here", f"No page shows what the DAG {dag_id} makes.")
    return Answer(location=site.to(*(of_task(task_id, run_id) or ("runs", run_id))))


def released(site: Site, run_id: str) -> Answer:
    """The page of the release that a run made; why there is none, if it made none."""
    shipped = found(run_in(site.config.paths.runs, run_id), ReleaseRecord).record
    steps = ("runs", run_id, "why") if shipped is None else ("releases", shipped.version)
    return Answer(location=site.to(*steps))


def script(site: Site) -> Answer:
    """What lets a link lead out of Airflow's frame."""
    return Answer(text=SCRIPT, media=_JAVASCRIPT)


def fill_in(site: Site) -> Answer:
    """What fills in the form of the rollback."""
    return Answer(text=FILL_IN, media=_JAVASCRIPT)


def unknown(site: Site, path: str) -> Answer:
    """The answer to any other address."""
    return told(site, "No such page", f"There is no page {path!r} here.")


# Every page, by its path below PREFIX.
PAGES: Mapping[str, Callable[..., Answer]] = {
    "/models": models,
    "/audit": audit,
    "/runs/{run_id}": run,
    "/runs/{run_id}/why": why,
    "/runs/{run_id}/contact-sheets": contact_sheets,
    "/runs/{run_id}/curves": tensorboard.curves,
    "/runs/{run_id}/release": released,
    "/runs/{run_id}/files/{path:path}": run_file,
    "/releases/{version}": release,
    "/releases/{version}/rollback": rollback,
    "/releases/{version}/files/{path:path}": release_file,
    "/drift": result_lists.drift,
    "/drift/{day}/files/{path:path}": drift_file,
    "/scoring": result_lists.scoring,
    "/scoring/{name}/files/{path:path}": batch_file,
    "/dags/{dag_id}/runs/{run_id}": of_run,
    "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}": of_run,
    "/page.js": script,
    "/fill-in.js": fill_in,
}


def site_here(environment: Mapping[str, str], root: str = PREFIX) -> Site:
    """The settings as they are now: config.yaml is read anew for each request.

    Raises:
        ConfigError: it cannot be read.
    """
    path = Path(environment.get(CONFIG_VARIABLE) or Path(__file__).parents[2] / "config.yaml")
    return Site(load_config(path, registry_of_this_place(environment)), environment, root)


def site_or_answer(environment: Mapping[str, str], root: str) -> Site | Answer:
    """The settings as they are now; a page that says what is wrong where they cannot be read."""
    try:
        return site_here(environment, root)
    except DAMAGED as error:
        return told(Site(Config(), environment, root), "The settings cannot be read", str(error))


def answered(
    page: Callable[..., Answer], environment: Mapping[str, str], root: str, **named: str
) -> Answer:
    """The page's answer; a page that says what is wrong where files or settings are damaged."""
    site = site_or_answer(environment, root)
    if isinstance(site, Answer):
        return site
    try:
        return page(site, **named)
    except DAMAGED as error:
        log.exception("a page could not be made")
        text = f"What lies on the disk could not be read: {type(error).__name__}: {error}"
        return told(site, "This cannot be shown", text, status=503)
